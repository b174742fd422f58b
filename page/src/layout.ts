// Places of a cell's states and edges, by dagre.

import { Graph, layout } from "@dagrejs/dagre";
import { curveBasis, line } from "d3-shape";
import { stateName } from "./genotype";
import type { Cell } from "./types";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  text: string;
}

export interface State extends Box {
  /** The state's number; -1 of the output. */
  state: number;
  role: "input" | "node" | "output";
}

export interface Line extends Box {
  node: number;
  slot: number;
  source: number;
  op: string;
  path: string;
}

export interface Drawing {
  left: number;
  top: number;
  width: number;
  height: number;
  states: State[];
  lines: Line[];
}

const OUTPUT = -1;
const CHARACTER = 7.1;
const MARGIN = 6;

/** An op's name, shorter where there is little room: `sep 3x3`. */
function shown(op: string, wide: boolean): string {
  const text = wide ? op : op.replace(/_(?:conv|pool)_/, " ").replace(/_connect$/, "");
  return text.length > 26 ? `${text.slice(0, 25)}…` : text;
}

const curve = line<{ x: number; y: number }>((p) => p.x, (p) => p.y).curve(curveBasis);

/** Places from left to right, closer and with shorter names where there is less room. */
export function arrange(cell: Cell, wide: boolean): Drawing {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: 12, ranksep: wide ? 30 : 8, edgesep: 9 });
  const onNodes = cell.ops.length > 0;
  const boxes = new Map<number, { text: string; role: State["role"] }>();
  for (let state = 0; state < cell.inputs + cell.nodes.length; state++) {
    const role = state < cell.inputs ? "input" : "node";
    const own = role === "node" && onNodes ? `${state} ${shown(cell.ops[state - cell.inputs], wide)}` : String(state);
    boxes.set(state, { text: role === "input" ? stateName(cell, state) : own, role });
  }
  boxes.set(OUTPUT, { text: "output", role: "output" });
  for (const [state, { text, role }] of boxes) {
    const width = role === "node" && !onNodes ? 34 : text.length * CHARACTER + 22;
    graph.setNode(String(state), { width, height: 30 });
  }
  const place = (source: number, target: number, name: string, op: string): void => {
    const text = shown(op, wide);
    const size = text ? { width: text.length * CHARACTER + 16, height: 24, labelpos: "c" } : { width: 0, height: 0 };
    graph.setEdge(String(source), String(target), { ...size, text, op }, name);
  };
  cell.nodes.forEach((edges, at) =>
    edges.forEach(([op, source], slot) => place(source, cell.inputs + at, `${cell.inputs + at}.${slot}`, op)),
  );
  cell.output.forEach((state, slot) => place(state, OUTPUT, `${OUTPUT}.${slot}`, ""));
  layout(graph);
  const states = [...boxes].map(([state, { text, role }]): State => {
    const { x, y, width, height } = graph.node(String(state)) as Box;
    return { state, role, text, x, y, width, height };
  });
  const lines = graph.edges().map((edge): Line => {
    const found = graph.edge(edge) as { points: { x: number; y: number }[]; x?: number; y?: number; width: number; text: string; op: string };
    const [node, slot] = String(edge.name).split(".").map(Number);
    const { x = 0, y = 0, width, text, op } = found;
    return { node, slot, source: Number(edge.v), op, path: curve(found.points) ?? "", x, y, width, height: 24, text };
  });
  // dagre's own size leaves out bends of edges.
  const points = graph.edges().flatMap((edge) => (graph.edge(edge) as { points: { x: number; y: number }[] }).points);
  const boxed = [...states, ...lines.filter((each) => each.op)];
  const xs = [...points.map((p) => p.x), ...boxed.flatMap((b) => [b.x - b.width / 2, b.x + b.width / 2])];
  const ys = [...points.map((p) => p.y), ...boxed.flatMap((b) => [b.y - b.height / 2, b.y + b.height / 2])];
  const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN];
  return { left, top, width: Math.max(...xs) + MARGIN - left, height: Math.max(...ys) + MARGIN - top, states, lines };
}
