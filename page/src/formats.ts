// Genotypes as text, as `nasir.dump_genotype` writes them. Each function throws where the format has no
// place for a part of the genotype.

import type { Cell, Edge, Formats, Genotype } from "./types";
import { rowsOf } from "./genotype";

class Inexpressible extends Error {}

const refuse = (what: string): never => {
  throw new Inexpressible(what);
};

/** JSON in which everything prints, as `nasir.quoting.json_text`. */
function json(value: unknown): string {
  return JSON.stringify(value).replace(/[\p{C}\p{Z}]/gu, (c) =>
    c === " " ? c : [...Array(c.length).keys()].map((at) => `\\u${c.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}

/** JSON as Python's json.dumps spaces it. */
const spaced = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(spaced).join(", ")}]`
  : value && typeof value === "object"
    ? `{${Object.entries(value).map(([name, each]) => `${json(name)}: ${spaced(each)}`).join(", ")}}`
    : json(value);

const quoted = (text: string): string =>
  text.includes("'") && !text.includes('"') ? `"${text}"` : `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
const pair = ([op, source]: Edge): string => `(${quoted(op)}, ${source})`;
const list = (parts: string[]): string => `[${parts.join(", ")}]`;
const tuple = (parts: string[]): string => `(${parts.join(", ")}${parts.length === 1 ? "," : ""})`;

function own(genotype: Genotype, spaceText: string): string {
  const head: [string, string][] = [["name", json(genotype.name)], ["space", spaceText]];
  if (Object.keys(genotype.size).length) head.push(["size", spaced(genotype.size)]);
  head.push(["source", json(genotype.source)]);
  const lines = head.filter(([, value]) => value !== '""').flatMap(([name, value]) => `  ${json(name)}: ${value},`.split("\n"));
  const node = (cell: Cell, at: number): string =>
    cell.ops.length
      ? `{"op": ${json(cell.ops[at])}, "from": [${cell.nodes[at].map(([, s]) => s).join(", ")}]}`
      : `[${cell.nodes[at].map(([op, s]) => `[${json(op)}, ${s}]`).join(", ")}]`;
  const cells = genotype.cells.map((cell) =>
    [
      `    ${json(cell.kind)}: {`,
      `      "inputs": ${cell.inputs},`,
      '      "nodes": [',
      ...cell.nodes.map((_, at) => `        ${node(cell, at)}${at < cell.nodes.length - 1 ? "," : ""}`),
      "      ],",
      `      "output": [${cell.output.join(", ")}]`,
      "    }",
    ].join("\n"),
  );
  const body = ["{", ...lines, '  "cells": {', ...cells.join(",\n").split("\n"), "  }", "}"];
  return `{\n  "nasir": 1,\n  "genotype": ${body.map((line) => `  ${line}`).join("\n").trimStart()}\n}\n`;
}

/** The same as YAML, whose flow style JSON is. */
function ownYaml(genotype: Genotype, spaceText: string): string {
  const lines = ["nasir: 1", "genotype:"];
  if (genotype.name) lines.push(`  name: ${json(genotype.name)}`);
  lines.push(`  space: ${spaceText.split("\n").map((line) => line.trim()).join(" ")}`);
  if (Object.keys(genotype.size).length) lines.push(`  size: ${spaced(genotype.size)}`);
  if (genotype.source) lines.push(`  source: ${json(genotype.source)}`);
  lines.push("  cells:");
  for (const cell of genotype.cells) {
    lines.push(`    ${cell.kind}:`, `      inputs: ${cell.inputs}`, cell.nodes.length ? "      nodes:" : "      nodes: []");
    cell.nodes.forEach((edges, at) =>
      lines.push(
        cell.ops.length
          ? `        - {op: ${json(cell.ops[at])}, from: [${edges.map(([, s]) => s).join(", ")}]}`
          : `        - [${edges.map(([op, s]) => `[${json(op)}, ${s}]`).join(", ")}]`,
      ),
    );
    lines.push(`      output: [${cell.output.join(", ")}]`);
  }
  return `${lines.join("\n")}\n`;
}

const one = (genotype: Genotype): Cell =>
  genotype.cells.length === 1 ? genotype.cells[0] : refuse(`the cells ${genotype.cells.map((c) => c.kind).join(", ")}`);

const edgeOps = (cell: Cell): Cell => (cell.ops.length ? refuse(`cell ${cell.kind}: its ops stand on nodes`) : cell);

function normalAndReduce(genotype: Genotype): [Cell, Cell] {
  const kinds = genotype.cells.map((cell) => cell.kind);
  if ([...kinds].sort().join() !== "normal,reduce") refuse(`the cells ${kinds.join(", ")}`);
  const found = ["normal", "reduce"].map((kind) => edgeOps(genotype.cells.find((cell) => cell.kind === kind)!));
  for (const cell of found) if (cell.inputs !== 2) refuse(`cell ${cell.kind}: ${cell.inputs} inputs, not 2`);
  return found as [Cell, Cell];
}

function paired(genotype: Genotype): [Cell, Cell] {
  const cells = normalAndReduce(genotype);
  for (const cell of cells) {
    cell.nodes.forEach((edges, at) => edges.length === 2 || refuse(`node ${at + 2} of cell ${cell.kind}: ${edges.length} inputs, not 2`));
  }
  return cells;
}

function darts(genotype: Genotype): [Cell, Cell] {
  const cells = paired(genotype);
  for (const cell of cells) {
    if (cell.nodes.length !== 4 || cell.output.join() !== "2,3,4,5") refuse(`cell ${cell.kind}: not four nodes that leave it`);
  }
  return cells;
}

const numbered = (ops: string[], op: string): number => {
  const at = ops.indexOf(op);
  return at < 0 ? refuse(`the op ${op}, which has no number`) : at;
};

function range(output: number[]): string {
  const run = output.every((state, at) => state === output[0] + at);
  return output.length > 1 && run ? `range(${output[0]}, ${output[output.length - 1] + 1})` : list(output.map(String));
}

/** The six edges of a NAS-Bench-201 cell: by node, then source. */
function sixEdges(genotype: Genotype): Edge[][] {
  const cell = edgeOps(one(genotype));
  const rows = cell.nodes.map((edges) => [...edges].sort((a, b) => a[1] - b[1]));
  const full = rows.every((edges, at) => edges.map(([, s]) => s).join() === Array.from({ length: at + 1 }, (_, s) => s).join());
  if (cell.inputs !== 1 || rows.length !== 3 || cell.output.join() !== "3" || !full) refuse("a cell without six edges among four states");
  return rows;
}

const bySource = (rows: Edge[][]): Edge[] => [0, 1, 2].flatMap((source) => rows.flat().filter(([, s]) => s === source));

function enas(genotype: Genotype, formats: Formats): string {
  const unread = (cell: Cell): number[] =>
    Array.from({ length: cell.inputs + cell.nodes.length }, (_, s) => s).filter((s) => !cell.nodes.flat().some(([, source]) => source === s));
  const check = (cell: Cell): void => {
    const left = unread(cell);
    if (cell.output.join() !== left.join() || (cell.kind === "reduce" && left[0] < 2)) refuse(`the output of cell ${cell.kind}`);
  };
  if (genotype.cells.map((cell) => cell.kind).join() === "recurrent") {
    const [cell] = genotype.cells;
    const edges = cell.nodes.flat();
    if (cell.nodes.length !== 11 || edges.length !== 11) refuse("a recurrent cell without 11 nodes and edges");
    check(cell);
    return `${[0, ...edges.flatMap(([op, s]) => [s, numbered(formats.ops.activations, op)])].join(" ")}\n`;
  }
  const cells = paired(genotype);
  for (const cell of cells) {
    if (cell.nodes.length !== 5) refuse(`cell ${cell.kind}: ${cell.nodes.length} nodes, not 5`);
    check(cell);
  }
  return `${cells.flatMap((cell) => cell.nodes.flat().flatMap(([op, s]) => [s, numbered(formats.ops.enas, op)])).join(" ")}\n`;
}

function recurrentText(cell: Cell): string {
  if (cell.inputs !== 1 || cell.nodes.some((edges) => edges.length !== 1)) refuse("a recurrent cell with other than one edge a node");
  return `Genotype(recurrent=${list(cell.nodes.flat().map(pair))}, concat=${range(cell.output)})`;
}

function dartsText(genotype: Genotype): string {
  if (genotype.cells.map((cell) => cell.kind).join() === "recurrent") return recurrentText(genotype.cells[0]);
  const cells = normalAndReduce(genotype);
  const edges = (cell: Cell): string =>
    cell.nodes.every((each) => each.length === 2)
      ? list(cell.nodes.flat().map(pair))
      : list(cell.nodes.map((each) => list(each.map(pair))));
  return `Genotype(${cells.map((cell) => `${cell.kind}=${edges(cell)}, ${cell.kind}_concat=${range(cell.output)}`).join(", ")})`;
}

function nasbench301(genotype: Genotype, ops: string[]): string {
  const found: string[] = [];
  const first = [0, 2, 5, 9];
  const key = (what: string): string => json(`NetworkSelectorDatasetInfo:darts:${what}`);
  for (const cell of darts(genotype)) {
    cell.nodes.forEach((edges, at) => {
      if (edges[0][1] === edges[1][1]) refuse(`node ${at + 2} of cell ${cell.kind}: it reads one node twice`);
      for (const [op, source] of [...edges].sort((a, b) => a[1] - b[1])) {
        numbered(ops, op);
        found.push(`  ${key(`edge_${cell.kind}_${first[at] + source}`)}: ${json(op)}`);
      }
    });
    cell.nodes.forEach((edges, at) => {
      const sources = edges.map(([, s]) => s).sort((a, b) => a - b);
      if (at) found.push(`  ${key(`inputs_node_${cell.kind}_${at + 2}`)}: ${json(sources.join("_"))}`);
    });
  }
  return `{\n${found.join(",\n")}\n}\n`;
}

function nnabla(genotype: Genotype, ops: string[]): string {
  const [normal, reduce] = paired(genotype);
  const cell = (each: Cell): string => {
    if (each.nodes.length !== 4 || each.output.join() !== "2,3,4,5") refuse(`cell ${each.kind}: not four nodes that leave it`);
    return each.nodes
      .map((edges, at) => `    "${at + 2}": [${edges.map(([op, s]) => `[${numbered(ops, op)}, ${s}]`).join(", ")}]`)
      .join(",\n");
  };
  return `{\n  "arch_normal": {\n${cell(normal)}\n  },\n  "arch_reduction": {\n${cell(reduce)}\n  }\n}\n`;
}

function nniDarts(genotype: Genotype, ops: string[]): string {
  const lines = darts(genotype).flatMap((cell) =>
    cell.nodes.flatMap((edges, at) =>
      edges.map(([op, source], slot) => {
        numbered(ops, op);
        return `"${cell.kind}/op_${at + 2}_${slot}": ${json(op)}, "${cell.kind}/input_${at + 2}_${slot}": [${source}]`;
      }),
    ),
  );
  return `{\n  ${lines.join(",\n  ")}\n}\n`;
}

function nni201(genotype: Genotype, nni: Record<string, string>): string {
  const names = Object.fromEntries(Object.entries(nni).map(([theirs, ours]) => [ours, theirs]));
  const parts = sixEdges(genotype).flatMap((edges, at) =>
    edges.map(([op, s]) => `"${s}_${at + 1}": ${json(names[op] ?? refuse(`the op ${op}`))}`),
  );
  return `{${parts.join(", ")}}\n`;
}

function awNas(genotype: Genotype): string {
  const groups = ["normal_0", "reduce_1"];
  const cells = normalAndReduce(genotype);
  const edges = (cell: Cell): string =>
    list(cell.nodes.flatMap((row, at) => row.map(([op, s]) => `(${quoted(op)}, ${s}, ${at + 2})`)));
  const fields = cells.map((cell, at) => `${groups[at]}=${edges(cell)}`);
  fields.push(...cells.map((cell, at) => `${groups[at]}_concat=${list(cell.output.map(String))}`));
  return `CNNGenotype(${fields.join(", ")})`;
}

function bananas(genotype: Genotype, ops: string[]): string {
  return list(darts(genotype).map((cell) => list(cell.nodes.flat().map(([op, s]) => `(${s}, ${numbered(ops, op)})`))));
}

function naslib(genotype: Genotype, formats: Formats): string {
  if (genotype.cells.length === 1) {
    return tuple(bySource(sixEdges(genotype)).map(([op]) => String(numbered(formats.ops.naslib201, op))));
  }
  const ops = formats.ops.bananas.slice(1);
  return tuple(darts(genotype).map((cell) => tuple(cell.nodes.flat().map(([op, s]) => `(${s}, ${numbered(ops, op)})`))));
}

function nasbench101(genotype: Genotype): string {
  const cell = one(genotype);
  if (cell.inputs !== 1 || (cell.nodes.length && !cell.ops.length)) refuse("a cell whose ops stand on edges");
  const readers = rowsOf(cell);
  const size = readers.length + 1;
  const rows = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  readers.forEach((sources, at) => sources.forEach((source) => (rows[source][at + 1] = 1)));
  const shown = rows.map((row) => `    ${spaced(row)}`).join(",\n");
  return `{\n  "module_adjacency": [\n${shown}\n  ],\n  "module_operations": ${spaced(["input", ...cell.ops, "output"])}\n}\n`;
}

function oneShot(genotype: Genotype, formats: Formats): string {
  const cell = one(genotype);
  if (cell.inputs !== 1 || !cell.ops.length) refuse("a cell whose ops stand on edges");
  const rows = rowsOf(cell);
  if (!formats.oneShotParents.some((parents) => parents.join() === rows.map((row) => row.length).join())) refuse("these numbers of parents");
  cell.ops.forEach((op) => numbered(formats.ops.oneShot, op));
  const lines = cell.ops.map((op, at) => `"choice_block_${at + 1}_op": ${json(op)}`);
  lines.push(...rows.map((row, at) => `"choice_block_${at + 1}_parents": ${spaced(row)}`));
  return `{\n  ${lines.join(",\n  ")}\n}\n`;
}

function transnas(genotype: Genotype, ops: string[]): string {
  return `64-41414-${sixEdges(genotype).map((edges) => edges.map(([op]) => numbered(ops, op)).join("")).join("_")}`;
}

function widths(genotype: Genotype): string {
  if (genotype.space !== "natsbench_size") refuse("a genotype of another space, which has no widths");
  return ["stage1", "stage2", "stage3", "stage4", "stage5"].map((name) => genotype.size[name] ?? 64).join(":");
}

type Dump = (genotype: Genotype, formats: Formats, spaceText: string) => string;

const DUMPS: Record<string, [suffix: string, dump: Dump]> = {
  nasir: ["json", (g, _, space) => own(g, space)],
  yaml: ["yaml", (g, _, space) => ownYaml(g, space)],
  darts: ["txt", (g) => dartsText(g)],
  ptdarts: ["txt", (g) => {
    const nested = (cell: Cell): string => list(cell.nodes.map((edges) => list(edges.map(pair))));
    return `Genotype(${paired(g).map((c) => `${c.kind}=${nested(c)}, ${c.kind}_concat=${range(c.output)}`).join(", ")})`;
  }],
  nasbench201: ["txt", (g) => sixEdges(g).map((edges) => `|${edges.map(([op, s]) => `${op}~${s}`).join("|")}|`).join("+")],
  autodl: ["txt", (g) => list(sixEdges(g).map((edges) => tuple(edges.map(pair))))],
  nnabla: ["json", (g, f) => nnabla(g, f.ops.nnabla)],
  nasbench301: ["json", (g, f) => nasbench301(g, f.ops.bananas.slice(1))],
  nni_darts: ["json", (g, f) => nniDarts(g, f.ops.bananas)],
  nni_nasbench201: ["json", (g, f) => nni201(g, f.nni)],
  aw_nas: ["txt", (g) => awNas(g)],
  enas: ["txt", (g, f) => enas(g, f)],
  transnasbench101: ["txt", (g, f) => transnas(g, f.ops.transnas)],
  natsbench_size: ["txt", (g) => widths(g)],
  nasbench1shot1: ["json", (g, f) => oneShot(g, f)],
  nasbench101: ["json", (g) => nasbench101(g)],
  bananas: ["txt", (g, f) => bananas(g, f.ops.bananas)],
  naslib: ["txt", (g, f) => naslib(g, f)],
  nasbench201_by_node: ["txt", (g, f) => list(sixEdges(g).flat().map(([op]) => String(numbered(f.ops.nasbench201, op))))],
  nasbench201_by_source: ["txt", (g, f) => list(bySource(sixEdges(g)).map(([op]) => String(numbered(f.ops.nasbench201, op))))],
};

/** What only the space says, which other formats than nasir's own cannot hold: see `check_plain`. */
function checkPlain(genotype: Genotype, name: string, macros: string[]): void {
  if (Object.keys(genotype.size).length && name !== "natsbench_size") refuse("the size of the network");
  for (const cell of genotype.cells) {
    if (cell.combine !== "sum") refuse(`the nodes of cell ${cell.kind}: ${cell.combine}`);
    if (cell.join !== "concat" && cell.output.length > 1) refuse(`the output of cell ${cell.kind}: ${cell.join}`);
    for (const [op] of cell.nodes.flat()) if (op && !macros.includes(op)) refuse(`the op ${op}, which the space defines`);
  }
}

export interface Text {
  name: string;
  title: string;
  suffix: string;
  text: string | null;
  reason: string;
}

/** The genotype in every format; without text where the format cannot express it. */
export function texts(genotype: Genotype, formats: Formats, spaceText: string): Text[] {
  return Object.entries(DUMPS).map(([name, [suffix, dump]]) => {
    const title = name === "yaml" ? "nasir's own, as YAML" : name === "nasir" ? "nasir's own, as JSON" : formats.names[name];
    try {
      if (name !== "nasir" && name !== "yaml") checkPlain(genotype, name, formats.ops.macros);
      return { name, title, suffix, text: dump(genotype, formats, spaceText), reason: "" };
    } catch (error) {
      if (!(error instanceof Inexpressible)) throw error;
      return { name, title, suffix, text: null, reason: error.message };
    }
  });
}
