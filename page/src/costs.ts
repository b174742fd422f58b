// Costs of a genotype as sums of the tables in the document, and conditions over them.

import { pathStates, pruned, rowsOf } from "./genotype";
import type { Cell, Context, Costs, EdgeOp, Genotype, Space, Spent, Tree, Variant } from "./types";

const plus = (a: Spent, b: readonly [number, number], times = 1): Spent => [a[0] + times * b[0], a[1] + times * b[1]];

const key = (op: readonly (string | number)[]): string => op.join("\n");

const remembered = new WeakMap<Genotype, Map<string, number>>();

function counted(genotype: Genotype): Map<string, number> {
  const known = remembered.get(genotype);
  if (known) return known;
  const found = new Map<string, number>();
  remembered.set(genotype, found);
  for (const cell of genotype.cells) {
    cell.nodes.forEach((edges, at) =>
      edges.forEach(([op, source]) => {
        const name = key([cell.kind, cell.inputs + at, source, op]);
        found.set(name, (found.get(name) ?? 0) + 1);
      }),
    );
  }
  return found;
}

/** The channels of each node of a pruned module: see `node_widths`. */
function nodeWidths(cell: Cell, channels: number): number[] {
  const rows = rowsOf(cell);
  const feeding = cell.output.filter((state) => state > 0).sort((a, b) => a - b);
  const widths = new Array<number>(cell.nodes.length + 1).fill(0);
  const rest = channels % feeding.length;
  feeding.forEach((state, place) => (widths[state] = Math.floor(channels / feeding.length) + (place < rest ? 1 : 0)));
  for (let state = cell.nodes.length; state > 0; state--) {
    if (feeding.includes(state)) continue;
    widths[state] = Math.max(...rows.slice(0, -1).map((row, at) => (row.includes(state) ? widths[at + 1] : 0)));
  }
  return widths.slice(1);
}

function ofNodes(context: Context, whole: Cell): Spent | null {
  const cell = context.prunes ? pruned(whole) : whole;
  const widths = context.prunes ? nodeWidths(cell, context.channels) : cell.nodes.map(() => context.channels);
  const rows = rowsOf(cell);
  const needed = new Set(cell.output);
  let found: Spent = [0, 0];
  const add = (op: string, width: number): boolean => {
    const spent = context.widths[op]?.[width];
    if (spent) found = plus(found, spent);
    return !!spent;
  };
  for (let node = cell.nodes.length; node > 0; node--) {
    if (!needed.has(node)) continue;
    rows[node - 1].forEach((source) => needed.add(source));
    if (!add(cell.ops[node - 1], widths[node - 1])) return null;
    if (rows[node - 1].includes(0) && !add("", widths[node - 1])) return null;
  }
  return cell.output.includes(0) && !add("", context.emitted) ? null : found;
}

type Row = { inner: string[]; spent: Spent };

const tables = new WeakMap<Context, Map<string, Row[]>>();

/** The rows of a context by the op on the outermost edge. */
function rowsBy(context: Context): Map<string, Row[]> {
  let found = tables.get(context);
  if (!found) {
    found = new Map();
    for (const [[first, ...inner], params, macs] of context.rows) {
      const row = { inner: inner.map(key), spent: [params, macs] as Spent };
      found.set(key(first), [...(found.get(key(first)) ?? []), row]);
    }
    tables.set(context, found);
  }
  return found;
}

function ofOp(context: Context, name: string, edges: Map<string, number>): Spent {
  let found: Spent = [0, 0];
  for (const { inner, spent } of rowsBy(context).get(name) ?? []) {
    found = plus(found, spent, inner.reduce((product, each) => product * (edges.get(each) ?? 0), 1));
  }
  return found;
}

function ofContext(context: Context, genotype: Genotype, edges: Map<string, number>): Spent | null {
  let found: Spent = [0, 0];
  for (const [name, times] of edges) found = plus(found, ofOp(context, name, edges), times);
  if (!Object.keys(context.widths).length) return found;
  const cell = genotype.cells.find((each) => each.kind === context.kind);
  const more = cell && ofNodes(context, cell);
  return more ? plus(found, more) : null;
}

/** The network that the tables have for a genotype's outputs and sizes. */
export function variantOf(costs: Costs, genotype: Genotype): Variant | null {
  const outputs = Object.fromEntries(genotype.cells.map((cell) => [cell.kind, cell.output.length]));
  const agrees = (own: Record<string, number>, has: Record<string, number>): boolean =>
    Object.entries(own).every(([name, number]) => has[name] === number);
  return (
    costs.variants.find(
      (each) => agrees(each.outputs, outputs) && (costs.pairs.length > 0 || agrees(each.size, genotype.size)),
    ) ?? null
  );
}

export interface Counted {
  total: Spent;
  /** What each cell in order costs, by its name. */
  cells: Map<string, Spent>;
}

/** Parameters and multiply-adds of the whole network; null where no table is for the genotype. */
export function count(costs: Costs, genotype: Genotype): Counted | null {
  const variant = variantOf(costs, genotype);
  if (!variant) return null;
  const edges = counted(genotype);
  const contexts = costs.contexts.map((context) => ofContext(context, genotype, edges));
  let total = variant.base;
  const cells = new Map<string, Spent>();
  for (const [name, , , , context] of variant.parts) {
    if (context === null) continue;
    const spent = contexts[context];
    if (!spent) return null;
    total = plus(total, spent);
    cells.set(name, spent);
  }
  for (const [name, value, other, otherValue, params, macs] of costs.pairs) {
    if (genotype.size[name] === value && (!other || genotype.size[other] === otherValue)) {
      total = plus(total, [params, macs]);
    }
  }
  return { total, cells };
}

/** What an op on an edge costs in a cell of a context, an inner cell's edges included. */
export function ofEdge(context: Context, genotype: Genotype, op: EdgeOp): Spent {
  return ofOp(context, key(op), counted(genotype));
}

/** What a node's op and its projection of the input cost in a cell of a context. */
export function ofNode(context: Context, cell: Cell, node: number): { width: number; spent: Spent } | null {
  let at = node;
  let live = cell;
  if (context.prunes) {
    live = pruned(cell);
    at = [...(pathStates(rowsOf(cell)) ?? [])].sort((a, b) => a - b).indexOf(node);
    if (at < 1) return null;
  }
  const width = context.prunes ? nodeWidths(live, context.channels)[at - 1] : context.channels;
  const own = context.widths[cell.ops[node - 1]]?.[width];
  if (!own) return null;
  const reads = rowsOf(live)[at - 1].includes(0);
  return { width, spent: reads ? plus(own, context.widths[""][width]) : own };
}

type Value = number | boolean;

function evaluated(tree: Tree, values: Record<string, number>): Value {
  const [operator, ...parts] = tree;
  const part = (at: number): Value => evaluated(parts[at] as Tree, values);
  const number = (at: number): number => Number(part(at));
  const [one, two] = [() => number(0), () => number(1)];
  const whole = (a: number, b: number): number => {
    if (b === 0) throw new RangeError("division by zero");
    return Math.floor(a / b);
  };
  switch (operator) {
    case "number": return parts[0] as Value;
    case "name": return values[parts[0] as string];
    case "+": return one() + two();
    case "-": return one() - two();
    case "*": return one() * two();
    case "//": return whole(one(), two());
    case "%": return one() - two() * whole(one(), two());
    case "neg": return -one();
    case "not": return !part(0);
    case "max": return Math.max(one(), two());
    case "min": return Math.min(one(), two());
    case "if": return part(0) ? part(1) : part(2);
    case "and": return parts.every((_, at) => part(at));
    case "or": return parts.some((_, at) => part(at));
    case "==": return one() === two();
    case "!=": return one() !== two();
    case "<": return one() < two();
    case "<=": return one() <= two();
    case ">": return one() > two();
    case ">=": return one() >= two();
    default: throw new TypeError(`unknown operator ${operator}`);
  }
}

/** Whether a genotype fulfils a condition of its space. */
export function fulfils(
  tree: Tree, genotype: Genotype, space: Space, size: Record<string, string | number>, total: Spent | null,
): boolean {
  const values: Record<string, number> = {};
  const add = (name: string, by: number): void => { values[name] = (values[name] ?? 0) + by; };
  const spelled = (name: string): string => name.replaceAll("-", "_");
  for (const own of space.cells) {
    const cell = genotype.cells.find((each) => each.kind === own.kind)!;
    const counts: [string, number][] = [
      ["nodes", cell.nodes.length],
      ["edges", cell.nodes.flat().length + (cell.ops.length ? cell.output.length : 0)],
      ...own.edges.flatMap(([, , ops]) => ops).concat(own.nodeOps).map((op): [string, number] => [spelled(op), 0]),
      ...(cell.ops.length ? cell.ops : cell.nodes.flat().map(([op]) => op)).map((op): [string, number] => [spelled(op), 1]),
    ];
    for (const [name, by] of counts) {
      add(name, by);
      add(`${spelled(own.kind)}.${name}`, by);
    }
  }
  for (const [name, number] of [...Object.entries(size), ...Object.entries(genotype.size)]) values[name] = Number(number);
  if (total) [values.params, values.macs] = total;
  try {
    return Boolean(evaluated(tree, values));
  } catch {
    return false;
  }
}
