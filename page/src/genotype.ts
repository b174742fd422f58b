// Edits of a genotype that keep it in its space, and samples of the space.

import type { Cell, Edge, Genotype, Space, SpaceCell } from "./types";

/** A part that can be chosen: an edge (`slot` of a node), a node's op, or what leaves the cell. */
export interface Spot {
  kind: string;
  node: number;
  slot: number;
}

export const sameSpot = (a: Spot | null, b: Spot | null): boolean =>
  a === b || (!!a && !!b && a.kind === b.kind && a.node === b.node && a.slot === b.slot);

export const cellOf = (genotype: Genotype, kind: string): Cell =>
  genotype.cells.find((cell) => cell.kind === kind)!;

export function stateName(cell: Cell, state: number): string {
  if (state >= cell.inputs) return `node ${state}`;
  return cell.inputs === 2 ? ["cₖ₋₂", "cₖ₋₁"][state] : cell.inputs === 1 ? "input" : `input ${state}`;
}

export function withCell(genotype: Genotype, cell: Cell): Genotype {
  return { ...genotype, cells: genotype.cells.map((each) => (each.kind === cell.kind ? cell : each)) };
}

function withNode(cell: Cell, node: number, edges: Edge[]): Cell {
  return { ...cell, nodes: cell.nodes.map((each, at) => (at === node - cell.inputs ? edges : each)) };
}

/** The ops that can stand on an edge of that source. */
export function opsOf(space: SpaceCell, node: number, source: number): string[] {
  return space.edges.find(([from, to]) => from === source && to === node)?.[2] ?? [];
}

/** The sources that an edge of a node can have, given the node's other edges. */
export function sourcesOf(space: SpaceCell, cell: Cell, node: number, slot: number): number[] {
  const edges = cell.nodes[node - cell.inputs];
  const others = edges.filter((_, at) => at !== slot).map(([, source]) => source);
  const possible = space.nodeOps.length
    ? Array.from({ length: node }, (_, state) => state)
    : space.edges.filter(([, to, ops]) => to === node && ops.length).map(([source]) => source);
  return possible.filter((source) => space.repeats || !others.includes(source));
}

/** The cell with another op on an edge; where ops stand on nodes, on the node. */
export function setOp(cell: Cell, node: number, slot: number, op: string): Cell {
  if (cell.ops.length) return { ...cell, ops: cell.ops.map((each, at) => (at === node - cell.inputs ? op : each)) };
  const edges = cell.nodes[node - cell.inputs];
  return withNode(cell, node, edges.map((edge, at): Edge => (at === slot ? [op, edge[1]] : edge)));
}

/** The cell with an edge from another state: it keeps its op, or has the first that can stand there. */
export function setSource(space: SpaceCell, cell: Cell, node: number, slot: number, source: number): Cell {
  const edges = cell.nodes[node - cell.inputs];
  const [op] = edges[slot];
  if (cell.ops.length) {
    const moved = edges.map((edge, at): Edge => (at === slot ? ["", source] : edge));
    return withNode(cell, node, moved.sort((a, b) => a[1] - b[1]));
  }
  const ops = opsOf(space, node, source);
  const kept = ops.includes(op) ? op : ops[0];
  return withNode(cell, node, edges.map((edge, at): Edge => (at === slot ? [kept, source] : edge)));
}

/** NAS-Bench-101's modules: the sources of a node, or of the output (node = the number after the last). */
export function rowsOf(cell: Cell): number[][] {
  return [...cell.nodes.map((edges) => edges.map(([, source]) => source)), cell.output];
}

export function fromRows(cell: Cell, rows: number[][]): Cell {
  const sorted = rows.map((row) => [...row].sort((a, b) => a - b));
  const nodes = sorted.slice(0, -1).map((row) => row.map((source): Edge => ["", source]));
  return { ...cell, nodes, output: sorted[sorted.length - 1] };
}

/** The states that a path from input to output passes; null where there is none. */
export function pathStates(rows: number[][]): Set<number> | null {
  const last = rows.length;
  const reached = new Set([0]);
  rows.forEach((row, at) => row.some((source) => reached.has(source)) && reached.add(at + 1));
  const needed = new Set([last]);
  for (let state = last; state > 0; state--) {
    if (needed.has(state)) rows[state - 1].forEach((source) => needed.add(source));
  }
  const kept = [...reached].filter((state) => needed.has(state));
  return kept.includes(0) && kept.includes(last) ? new Set(kept) : null;
}

/** What pruning leaves of a module. The input reaches the output. */
export function pruned(cell: Cell): Cell {
  const rows = rowsOf(cell);
  const states = pathStates(rows);
  if (!states) return cell;
  const kept = [...states].sort((a, b) => a - b);
  const number = new Map(kept.map((state, at) => [state, at]));
  const left = kept.slice(1).map((state) => rows[state - 1].filter((s) => number.has(s)).map((s) => number.get(s)!));
  const ops = kept.slice(1, -1).map((state) => cell.ops[state - 1]);
  return { ...fromRows(cell, left), ops };
}

export const isModule = (space: SpaceCell): boolean => space.nodeOps.length > 0 && !space.parents.length;

/** Whether a cell of that kind is one of the space, where only numbers of sources are free. */
export function fits(space: SpaceCell, cell: Cell): boolean {
  if (!isModule(space)) return true;
  const rows = rowsOf(cell);
  if (rows.some((row) => !row.length) || !pathStates(rows)) return false;
  const live = rowsOf(pruned(cell));
  return live.length - 1 <= space.nodes && live.flat().length <= space.mostEdges;
}

/** The cell with an edge there or not there the other way round; null where that is none of the space. */
export function toggled(space: SpaceCell, cell: Cell, reader: number, source: number): Cell | null {
  const rows = rowsOf(cell);
  const row = rows[reader - cell.inputs];
  rows[reader - cell.inputs] = row.includes(source) ? row.filter((s) => s !== source) : [...row, source];
  const other = fromRows(cell, rows);
  return rows.every((each) => each.length) && fits(space, other) ? other : null;
}

const below = (count: number): number => Math.floor(Math.random() * count);
const shuffled = (count: number): number[] => {
  const all = Array.from({ length: count }, (_, at) => at);
  for (let at = count - 1; at > 0; at--) {
    const other = below(at + 1);
    [all[at], all[other]] = [all[other], all[at]];
  }
  return all;
};
const subset = (count: number, of: number): number[] => shuffled(of).slice(0, count).sort((a, b) => a - b);

/** Sources of `keep` edges, each set as likely as it has ways to select ops. */
function weighted(sizes: number[], keep: number): number[] {
  const ways = Array.from({ length: sizes.length + 1 }, () => new Array<number>(keep + 1).fill(0));
  ways[sizes.length][0] = 1;
  for (let at = sizes.length - 1; at >= 0; at--) {
    for (let k = 0; k <= keep; k++) ways[at][k] = ways[at + 1][k] + (k ? sizes[at] * ways[at + 1][k - 1] : 0);
  }
  const kept: number[] = [];
  for (let at = 0, left = keep; left > 0; at++) {
    if (Math.random() * ways[at][left] < sizes[at] * ways[at + 1][left - 1]) {
      kept.push(at);
      left--;
    }
  }
  return kept;
}

function sampleNode(space: SpaceCell, node: number): Edge[] {
  const options = space.edges.filter(([, to]) => to === node);
  const pick = (ops: string[]): string => ops[below(ops.length)];
  if (space.keep === null) return options.map(([source, , ops]): Edge => [pick(ops), source]);
  if (space.repeats) {
    const entries = options.flatMap(([source, , ops]) => ops.map((op): Edge => [op, source]));
    // A multiset is a set of as many of count + keep - 1 places.
    return subset(space.keep, entries.length + space.keep - 1).map((place, at) => entries[place - at]);
  }
  const kept = weighted(options.map(([, , ops]) => ops.length), Math.min(space.keep, options.length));
  return kept.map((at): Edge => [pick(options[at][2]), options[at][0]]);
}

function sampleModule(space: SpaceCell, cell: Cell): Cell {
  const weights = space.modules.map(Number);
  let left = Math.random() * weights.reduce((a, b) => a + b, 0);
  let count = 0;
  while (count < weights.length - 1 && left >= weights[count]) left -= weights[count++];
  for (;;) {
    const rows = Array.from({ length: count + 1 }, (_, at) =>
      Array.from({ length: at + 1 }, (_, state) => state).filter(() => Math.random() < 0.5),
    );
    const states = pathStates(rows);
    if (!states || states.size < count + 2 || rows.flat().length > space.mostEdges) continue;
    const ops = Array.from({ length: count }, () => space.nodeOps[below(space.nodeOps.length)]);
    return { ...fromRows(cell, rows), ops };
  }
}

function sampleCell(space: SpaceCell, cell: Cell): Cell {
  if (isModule(space)) return sampleModule(space, cell);
  if (space.nodeOps.length) {
    const rows = space.parents.map((keep, at) => subset(keep, at + 1));
    const ops = Array.from({ length: space.nodes }, () => space.nodeOps[below(space.nodeOps.length)]);
    return { ...fromRows(cell, rows), ops };
  }
  const nodes = Array.from({ length: space.nodes }, (_, at) => sampleNode(space, space.inputs + at));
  let output = cell.output;
  while (space.anyOutput) {
    output = space.output.filter(() => Math.random() < 0.5);
    if (output.length) break;
  }
  return { ...cell, nodes, output };
}

/** A genotype of the space, each as likely as any other. */
export function sample(space: Space, like: Genotype): Genotype {
  const cells = space.cells.map((cell) => sampleCell(cell, cellOf(like, cell.kind)));
  const size = Object.fromEntries(Object.entries(space.openSize).map(([name, all]) => [name, all[below(all.length)]]));
  return { name: "", space: space.name, source: "", cells, size };
}
