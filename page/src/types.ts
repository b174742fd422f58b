// The documents that `runners/view` writes.

export type Edge = [op: string, source: number];

export interface Cell {
  kind: string;
  inputs: number;
  nodes: Edge[][];
  output: number[];
  ops: string[];
  combine: string;
  join: string;
}

export interface Genotype {
  name: string;
  space: string;
  source: string;
  size: Record<string, number>;
  cells: Cell[];
}

export interface SpaceCell {
  kind: string;
  inputs: number;
  nodes: number;
  edges: [source: number, node: number, ops: string[]][];
  keep: number | null;
  repeats: boolean;
  output: number[];
  anyOutput: boolean;
  nodeOps: string[];
  parents: number[];
  mostEdges: number;
  modules: string[];
}

export interface Space {
  name: string;
  title: string;
  paper: string;
  skeleton: string;
  where: string[];
  total: string;
  openSize: Record<string, number[]>;
  cells: SpaceCell[];
}

export type Spent = [params: number, macs: number];
export type EdgeOp = [kind: string, node: number, source: number, op: string];
export type Part = [name: string, what: string, shape: string, spent: Spent, context: number | null];

export interface Context {
  kind: string;
  states: string[];
  output: string;
  rows: [EdgeOp[], number, number][];
  widths: Record<string, Record<string, Spent>>;
  channels: number;
  emitted: number;
  prunes: boolean;
}

export interface Variant {
  outputs: Record<string, number>;
  size: Record<string, number>;
  base: Spent;
  parts: Part[];
}

export interface Costs {
  exact: boolean;
  variants: Variant[];
  contexts: Context[];
  pairs: [name: string, value: number, other: string, value: number, params: number, macs: number][];
}

export type Tree = [operator: string, ...parts: (Tree | string | number | boolean)[]];

export interface Formats {
  names: Record<string, string>;
  ops: Record<string, string[]>;
  nni: Record<string, string>;
  oneShotParents: number[][];
}

export interface Histogram {
  least: number;
  width: number;
  counts: number[];
}

export interface GenotypeDocument {
  kind: "genotype" | "space";
  title: string;
  size: string;
  sizeFacts: Record<string, string | number>;
  convention: string;
  genotype: Genotype;
  spaceText: string;
  space: Space | null;
  reasons: string[];
  costs: Costs;
  conditions: { text: string; tree: Tree | null }[];
  formats: Formats;
  sampled?: number;
  histograms?: Record<"params" | "macs", Histogram>;
  drawn?: Genotype[];
}

export interface Metrics {
  epoch: number;
  stage: number;
  phase: string;
  lr: number | null;
  train: Record<string, number | null>;
  valid: Record<string, number | null>;
  test: Record<string, number | null>;
  eigenvalue: number | null;
  entropy: Record<string, number | null>;
  skips: Record<string, number>;
}

export interface Truth {
  title: string;
  accuracy: Record<string, number>;
  bands: Record<string, number[]>;
  best: number;
}

export interface Run {
  name: string;
  description: string;
  facts: Record<string, string>;
  metrics: Metrics[];
  choices: Record<string, string[]>;
  slots: Record<string, { kind: string; role: string; node: number; source: number }>;
  weights: Record<string, Record<string, (number | null)[]>>;
  genotypes: Genotype[];
  genotypeAt: Record<string, number>;
  final: Genotype | null;
  truth: Truth | null;
}

export interface RunsDocument {
  kind: "run" | "runs";
  title: string;
  runs: Run[];
}

export interface CompilationDocument {
  kind: "compilation";
  title: string;
  nasir: string;
  name: string;
  size: string;
  weights: string;
  seed: number;
  batch: number;
  target: string;
  genotype: Genotype;
  cost: { params: number; macs: number };
  passes: { name: string; before: number; after: number; changed: boolean; seconds: number }[];
  stages: { name: string; seconds: number }[];
  forms: {
    form: string;
    difference: { difference: number; magnitude: number } | null;
    latency: { seconds: number; lowest: number } | null;
    accuracy: { measures: Record<string, number>; count: number; split: string } | null;
    note: string;
  }[];
  machine: Record<string, string | number>;
  files: string[];
}

export type Page = GenotypeDocument | RunsDocument | CompilationDocument;
