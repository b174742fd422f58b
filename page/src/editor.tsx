// The page of a genotype, and of a space with a sample of it.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CellDrawing, svgText } from "./cell";
import { Bars } from "./charts";
import { count, fulfils, ofEdge, ofNode, variantOf } from "./costs";
import { texts } from "./formats";
import {
  type Spot, cellOf, fits, isModule, opsOf, rowsOf, sameSpot, sample, setOp, setSource, sourcesOf, stateName, toggled, withCell,
} from "./genotype";
import { brief, download, large, useHistory, useWidth, whole } from "./hooks";
import { Outline } from "./outline";
import type { Cell, Genotype, GenotypeDocument, SpaceCell } from "./types";

const TRIES = 2000;

export function Editor({ document: given }: { document: GenotypeDocument }) {
  const { space, costs } = given;
  const history = useHistory(given.genotype);
  const genotype = history.value;
  const [spot, setSpot] = useState<Spot | null>(null);
  const [layers, setLayers] = useState<Record<string, string>>({});
  const [tip, setTip] = useState<{ spot: Spot; left: number; top: number } | null>(null);
  const [said, say] = useState("");
  const [element, width] = useWidth();
  const editable = space !== null && given.reasons.length === 0;
  const variant = variantOf(costs, genotype);
  const untouched = genotype === given.genotype;
  const counted = useMemo(() => (costs.exact ? count(costs, genotype) : null), [genotype]);
  const first = useMemo(() => count(costs, given.genotype), []);
  const total = counted?.total ?? (untouched ? first?.total : undefined);
  const conditions = given.conditions.map(({ text, tree }) => ({
    text,
    holds: tree && space ? fulfils(tree, genotype, space, given.sizeFacts, total ?? null) : null,
  }));
  const spaceCell = (kind: string): SpaceCell | undefined => space?.cells.find((cell) => cell.kind === kind);

  function layerOf(kind: string) {
    const parts = (variant ?? costs.variants[0]).parts.filter((part) => part[4] !== null && part[1] === kind);
    return parts.find((part) => part[0] === layers[kind]) ?? parts[0];
  }

  function facts(at: Spot): { title: string; lines: string[] } {
    const cell = cellOf(genotype, at.kind);
    const layer = layerOf(at.kind);
    const context = layer ? costs.contexts[layer[4]!] : undefined;
    const same = (variant?.parts ?? []).filter((part) => part[4] !== null && part[1] === at.kind);
    if (at.node === cell.inputs + cell.nodes.length) {
      const read = cell.output.map((state) => stateName(cell, state)).join(", ");
      const lines = [`${cell.ops.length ? "reads" : cell.output.length > 1 ? cell.join : "is"} ${read}`];
      return { title: "output", lines: layer && variant ? [...lines, `${layer[2]} in layer ${layer[0]}`] : lines };
    }
    if (cell.ops.length) {
      const op = cell.ops[at.node - cell.inputs];
      const title = `node ${at.node}: ${op}`;
      const lines = [`reads ${cell.nodes[at.node - cell.inputs].map(([, s]) => stateName(cell, s)).join(", ")}`];
      const found = costs.exact && context ? ofNode(context, cell, at.node) : null;
      if (found && context) {
        const side = context.states[0].split("×").slice(1);
        lines.push(`${[found.width, ...side].join("×")} in layer ${layer[0]}`, `${whole(found.spent[0])} parameters, ${whole(found.spent[1])} multiply-adds there`);
      } else if (context) lines.push("not part of the network: no path passes it");
      return { title, lines };
    }
    const [op, source] = cell.nodes[at.node - cell.inputs][at.slot];
    const title = `${op} from ${stateName(cell, source)} to node ${at.node}`;
    if (!context || !costs.exact) return { title, lines: [] };
    const spent = ofEdge(context, genotype, [cell.kind, at.node, source, op]);
    const sum = same.reduce((s, part) => {
      const one = ofEdge(costs.contexts[part[4]!], genotype, [cell.kind, at.node, source, op]);
      return [s[0] + one[0], s[1] + one[1]];
    }, [0, 0]);
    const lines = [
      `${context.states[source] ?? "?"} → ${context.states[at.node] ?? "?"} in layer ${layer[0]}`,
      `${whole(spent[0])} parameters, ${whole(spent[1])} multiply-adds there`,
    ];
    if (same.length > 1) lines.push(`${whole(sum[0])} and ${whole(sum[1])} in all ${same.length} ${cell.kind} cells`);
    return { title, lines };
  }

  function change(cell: Cell, message: string): void {
    history.set(withCell(genotype, cell));
    say(message);
  }

  function step(at: Spot, event: KeyboardEvent): void {
    const own = spaceCell(at.kind);
    const cell = cellOf(genotype, at.kind);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      setSpot(at);
      requestAnimationFrame(() => document.querySelector<HTMLElement>(".inspector select, .inspector input")?.focus());
      return;
    }
    const by = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || !editable || !own || at.node >= cell.inputs + cell.nodes.length) return;
    event.preventDefault();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const now = cell.ops.length ? cell.ops[at.node - cell.inputs] : cell.nodes[at.node - cell.inputs][at.slot][0];
      const ops = cell.ops.length ? own.nodeOps : opsOf(own, at.node, cell.nodes[at.node - cell.inputs][at.slot][1]);
      const op = ops[(ops.indexOf(now) + by + ops.length) % ops.length];
      change(setOp(cell, at.node, at.slot, op), `node ${at.node}: ${op}`);
    } else if (!cell.ops.length) {
      const sources = sourcesOf(own, cell, at.node, at.slot);
      const now = sources.indexOf(cell.nodes[at.node - cell.inputs][at.slot][1]);
      const source = sources[(now + by + sources.length) % sources.length];
      change(setSource(own, cell, at.node, at.slot, source), `node ${at.node} reads ${stateName(cell, source)}`);
    }
  }

  function again(): void {
    if (!space) return;
    const unknown = given.conditions.some((each) => each.tree === null);
    for (let tries = 0; tries < TRIES; tries++) {
      const drawn = given.drawn ?? [];
      const found = unknown && drawn.length ? drawn[Math.floor(Math.random() * drawn.length)] : sample(space, genotype);
      const cost = costs.exact ? count(costs, found) : null;
      const holds = given.conditions.every(
        ({ tree }) => !tree || fulfils(tree, found, space, given.sizeFacts, cost?.total ?? null),
      );
      if (holds) {
        history.set(found);
        setSpot(null);
        say("sampled another genotype");
        return;
      }
    }
    say(`none of ${TRIES} samples fulfils the conditions`);
  }

  const hover = (at: Spot | null, target?: Element): void => {
    if (!at || !target) return setTip(null);
    const box = (target.querySelector("rect") ?? target).getBoundingClientRect();
    setTip({ spot: at, left: Math.max(8, Math.min(box.left, innerWidth - 320)), top: box.bottom + 8 });
  };
  useEffect(() => {
    const hide = (event: KeyboardEvent): void => {
      if (event.key === "Escape") (setTip(null), setSpot(null));
    };
    addEventListener("keydown", hide);
    return () => removeEventListener("keydown", hide);
  }, []);

  const named: Genotype = untouched || given.kind === "space"
    ? genotype
    : { ...genotype, name: genotype.name && `${genotype.name} edited`, source: "" };
  const broken = conditions.filter((each) => each.holds === false);

  return (
    <>
      <header>
        <h1>{given.title}</h1>
        <p>{given.size}{space && given.kind === "genotype" ? ` · space ${space.name}` : ""}{space?.paper ? ` · ${space.paper}` : ""}</p>
      </header>
      <div class="bar" role="toolbar" aria-label="genotype">
        <div class="totals" aria-live="polite">
          <Total name="parameters" value={total?.[0]} from={first?.total[0]} compare={!untouched && given.kind === "genotype"} />
          <Total name="multiply-adds" value={total?.[1]} from={first?.total[1]} compare={!untouched && given.kind === "genotype"} />
        </div>
        <div class="buttons">
          {given.kind === "space" && <button type="button" class="first" onClick={again}>Sample again</button>}
          <button type="button" onClick={history.undo} disabled={!history.canUndo} title="Ctrl+Z">Undo</button>
          <button type="button" onClick={history.redo} disabled={!history.canRedo} title="Ctrl+Y">Redo</button>
          <button type="button" onClick={() => history.set(given.genotype)} disabled={untouched}>Reset</button>
          <Download genotype={named} document={given} />
        </div>
      </div>
      <p class="said" role="status">{said}</p>
      {!costs.exact && (
        <p class="note">
          Costs in this network are no sum over edges: they are shown for the genotype as opened, and not after an edit.
          <code> nasir cost FILE</code> counts a downloaded one.
        </p>
      )}
      {costs.exact && !counted && <p class="note">This page has no costs for these sizes or outputs; <code>nasir cost FILE</code> counts a downloaded genotype.</p>}
      {!editable && <p class="note">It cannot be edited here: {given.reasons.slice(0, 3).join("; ")}.</p>}
      {conditions.length > 0 && (
        <p class={broken.length ? "note bad" : "note"}>
          Conditions of the space: {conditions.map(({ text, holds }) => `${text} (${holds === null ? "not checked here" : holds ? "fulfilled" : "not fulfilled"})`).join("; ")}
        </p>
      )}
      <main ref={element}>
        {genotype.cells.map((cell) => {
          const own = spaceCell(cell.kind);
          const at = spot?.kind === cell.kind ? spot : null;
          const layer = layerOf(cell.kind);
          return (
            <section key={cell.kind}>
              <h2>{cell.kind === "cell" ? "cell" : `${cell.kind} cell`}{layer && <small> layer {layer[0]}</small>}</h2>
              {width > 0 && (
                <CellDrawing
                  cell={cell}
                  wide={width >= 640}
                  selected={at}
                  onSelect={(each) => setSpot(sameSpot(spot, each) ? null : each)}
                  onHover={hover}
                  onKey={step}
                  describe={(each) => { const { title, lines } = facts(each); return [title, ...lines].join("; "); }}
                />
              )}
              {at && own && editable && <Inspector spot={at} cell={cell} space={own} facts={facts(at)} change={change} />}
              {at && !(own && editable) && <div class="inspector"><Facts {...facts(at)} /></div>}
            </section>
          );
        })}
        {editable && Object.keys(space.openSize).length > 0 && (
          <section>
            <h2>size</h2>
            <div class="fields">
              {Object.entries(space.openSize).map(([name, numbers]) => (
                <label key={name}>{name}
                  <select
                    value={genotype.size[name]}
                    onChange={(event) => {
                      history.set({ ...genotype, size: { ...genotype.size, [name]: Number(event.currentTarget.value) } });
                    }}
                  >
                    {numbers.map((n) => <option key={n} value={n}>{n}</option>)}
                  </select>
                </label>
              ))}
            </div>
          </section>
        )}
        {given.kind === "space" && space && <SpaceFacts document={given} total={total} />}
        {variant && (
          <Outline
            variant={variant}
            contexts={costs.contexts}
            cells={counted?.cells}
            moved={costs.pairs.length > 0 && !untouched}
            chosen={(kind) => layerOf(kind)?.[0]}
            onChoose={(kind, layer) => setLayers({ ...layers, [kind]: layer })}
          />
        )}
        <p class="small">Counted: {given.convention.split("; activations")[0]}. Keys: Tab to an edge, Enter to edit it, ↑ ↓ its op, ← → its source, Ctrl+Z and Ctrl+Y.</p>
      </main>
      {tip && !sameSpot(tip.spot, spot) && (
        <div class="tip" role="tooltip" style={{ left: `${tip.left}px`, top: `${tip.top}px` }}><Facts {...facts(tip.spot)} /></div>
      )}
    </>
  );
}

function Total({ name, value, from, compare }: { name: string; value?: number; from?: number; compare: boolean }) {
  const more = value !== undefined && from !== undefined ? value - from : 0;
  return (
    <div class="total">
      <b data-total={name}>{value === undefined ? "not known" : whole(value)}</b>
      <span>{name}{compare && value !== undefined && <i>{` ${more > 0 ? "+" : more < 0 ? "−" : "±"}${brief(Math.abs(more))}`}</i>}</span>
    </div>
  );
}

function Facts({ title, lines }: { title: string; lines: string[] }) {
  return <><strong>{title}</strong>{lines.map((line) => <div key={line}>{line}</div>)}</>;
}

function Download({ genotype, document: given }: { genotype: Genotype; document: GenotypeDocument }) {
  const [name, setName] = useState("nasir");
  const all = texts(genotype, given.formats, given.spaceText);
  const stem = (genotype.name || genotype.space).replace(/[^\p{L}\p{N}_+-]+/gu, "_").slice(0, 80) || "genotype";
  const save = (): void => {
    if (name === "svg") {
      const found = [...document.querySelectorAll<SVGSVGElement>("svg.cell")];
      return download(`${stem}.svg`, svgText(found), "image/svg+xml");
    }
    const each = all.find((one) => one.name === name);
    if (each?.text != null) download(`${stem}.${each.suffix}`, each.text);
  };
  const can = name === "svg" || all.find((each) => each.name === name)?.text != null;
  return (
    <span class="download">
      <select aria-label="format" value={name} onChange={(event) => setName(event.currentTarget.value)}>
        {all.map((each) => (
          <option key={each.name} value={each.name} disabled={each.text === null} title={each.reason}>
            {each.name === "yaml" ? "nasir (YAML)" : each.name}{each.text === null ? " – cannot express it" : ""}
          </option>
        ))}
        <option value="svg">SVG drawing</option>
      </select>
      <button type="button" onClick={save} disabled={!can}>Download</button>
    </span>
  );
}

interface InspectorProps {
  spot: Spot;
  cell: Cell;
  space: SpaceCell;
  facts: { title: string; lines: string[] };
  change: (cell: Cell, message: string) => void;
}

function Inspector({ spot, cell, space, facts, change }: InspectorProps) {
  const { node, slot } = spot;
  const box = useRef<HTMLDivElement>(null);
  const isOutput = node === cell.inputs + cell.nodes.length;
  const edges = isOutput ? [] : cell.nodes[node - cell.inputs];
  const choose = (label: string, value: string | number, options: [string | number, string][], set: (value: string) => void) => (
    <label>{label}
      <select aria-label={label} value={value} onChange={(event) => set(event.currentTarget.value)} disabled={options.length < 2}>
        {options.map(([each, text]) => <option key={each} value={each}>{text}</option>)}
      </select>
    </label>
  );
  const names = (ops: string[]): [string, string][] => ops.map((op) => [op, op]);
  const states = (all: number[]): [number, string][] => all.map((state) => [state, stateName(cell, state)]);
  const fields = [];
  if (cell.ops.length && !isOutput) {
    fields.push(choose("op", cell.ops[node - cell.inputs], names(space.nodeOps), (op) => change(setOp(cell, node, slot, op), `node ${node}: ${op}`)));
  }
  if (!cell.ops.length && !isOutput) {
    const [op, source] = edges[slot];
    fields.push(choose("op", op, names(opsOf(space, node, source)), (next) => change(setOp(cell, node, slot, next), `node ${node}: ${next}`)));
    fields.push(choose("source", source, states(sourcesOf(space, cell, node, slot)), (next) =>
      change(setSource(space, cell, node, slot, Number(next)), `node ${node} reads ${stateName(cell, Number(next))}`)));
  }
  if (isModule(space)) {
    const row = rowsOf(cell)[node - cell.inputs];
    fields.push(
      <Ticks
        label="reads"
        states={Array.from({ length: node }, (_, state) => state)}
        cell={cell}
        ticked={row}
        next={(source) => toggled(space, cell, node, source)}
        change={change}
      />,
    );
  } else if (cell.ops.length) {
    const row = rowsOf(cell)[node - cell.inputs];
    row.forEach((source, at) => {
      const free = Array.from({ length: node }, (_, s) => s).filter((s) => s === source || !row.includes(s));
      fields.push(choose(`source ${at + 1}`, source, states(free), (next) => {
        const moved = isOutput
          ? { ...cell, output: row.map((s) => (s === source ? Number(next) : s)).sort((a, b) => a - b) }
          : setSource(space, cell, node, at, Number(next));
        change(moved, `reads ${stateName(cell, Number(next))}`);
      }));
    });
  } else if (isOutput && space.anyOutput) {
    fields.push(
      <Ticks
        label="leave the cell"
        states={space.output}
        cell={cell}
        ticked={cell.output}
        next={(state) => {
          const has = cell.output.includes(state);
          const output = has ? cell.output.filter((s) => s !== state) : [...cell.output, state].sort((a, b) => a - b);
          return output.length ? { ...cell, output } : null;
        }}
        change={change}
      />,
    );
  }
  return (
    <div class="inspector" ref={box}>
      <div class="fields">{fields.length ? fields : <span>The space decides this.</span>}</div>
      <div class="facts"><Facts {...facts} /></div>
      {!fits(space, cell) && <p class="note bad">This cell is none of the space.</p>}
    </div>
  );
}

interface TicksProps {
  label: string;
  states: number[];
  cell: Cell;
  ticked: number[];
  next: (state: number) => Cell | null;
  change: (cell: Cell, message: string) => void;
}

function Ticks({ label, states, cell, ticked, next, change }: TicksProps) {
  return (
    <fieldset>
      <legend>{label}</legend>
      {states.map((state) => {
        const other = next(state);
        return (
          <label key={state} class="tick">
            <input
              type="checkbox"
              checked={ticked.includes(state)}
              disabled={!other}
              onChange={() => other && change(other, `${stateName(cell, state)} ${ticked.includes(state) ? "off" : "on"}`)}
            />
            {stateName(cell, state)}
          </label>
        );
      })}
    </fieldset>
  );
}

function SpaceFacts({ document: given, total }: { document: GenotypeDocument; total?: [number, number] }) {
  const space = given.space!;
  return (
    <>
      <section>
        <h2>costs of {whole(given.sampled ?? 0)} samples</h2>
        <div class="pair">
          {given.histograms && (["params", "macs"] as const).map((name, at) => (
            <Bars key={name} histogram={given.histograms![name]} label={at ? "multiply-adds" : "parameters"} mark={total?.[at]} />
          ))}
        </div>
      </section>
      <section>
        <h2>decisions</h2>
        <p>{large(space.total)} genotypes{space.where.length ? ", those that do not fulfil the conditions included" : ""}.</p>
        <div class="scroll">
          <table>
            <thead><tr><th>cell</th><th>decision</th><th>keeps</th><th>options</th></tr></thead>
            <tbody>
              {kindsAlike(space.cells).flatMap(decisionRows).map(([kind, what, keep, options], at) => (
                <tr key={at}><td>{kind}</td><td>{what}</td><td>{keep}</td><td class="wrap">{options}</td></tr>
              ))}
              {Object.entries(space.openSize).map(([name, numbers]) => (
                <tr key={name}><td>size</td><td>{name}</td><td>1</td><td class="wrap">{numbers.join(", ")}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
}

/** The kinds of cell, equal ones together. */
function kindsAlike(cells: SpaceCell[]): SpaceCell[] {
  const found = new Map<string, SpaceCell>();
  for (const cell of cells) {
    const key = JSON.stringify({ ...cell, kind: "" });
    const before = found.get(key);
    found.set(key, before ? { ...before, kind: `${before.kind}, ${cell.kind}` } : cell);
  }
  return [...found.values()];
}

function decisionRows(cell: SpaceCell): [string, string, string, string][] {
  const rows: [string, string, string, string][] = [];
  const like = { kind: cell.kind, inputs: cell.inputs, nodes: [], output: [], ops: [], combine: "sum", join: "concat" };
  if (isModule(cell)) {
    rows.push([cell.kind, `up to ${cell.nodes} nodes, ${cell.mostEdges} edges`, "any", cell.nodeOps.join(", ")]);
    return rows;
  }
  if (cell.nodeOps.length) {
    cell.parents.forEach((keep, at) => {
      const states = Array.from({ length: at + 1 }, (_, s) => stateName(like, s)).join(", ");
      rows.push([cell.kind, at < cell.nodes ? `node ${at + 1} reads` : "output reads", String(keep), states]);
      if (at < cell.nodes) rows.push([cell.kind, `op of node ${at + 1}`, "1", cell.nodeOps.join(", ")]);
    });
    return rows;
  }
  for (let node = cell.inputs; node < cell.inputs + cell.nodes; node++) {
    const edges = cell.edges.filter(([, to]) => to === node);
    const ops = [...new Set(edges.map(([, , each]) => each.join(", ")))];
    const keep = cell.keep === null ? `all ${edges.length}` : `${Math.min(cell.keep, cell.repeats ? cell.keep : edges.length)} of ${edges.length}`;
    const sources = `from ${edges.map(([source]) => stateName(like, source)).join(", ")}`;
    const each = ops.length === 1 ? ops[0] : edges.map(([source, , own]) => `${stateName(like, source)}: ${own.join(", ")}`).join("; ");
    rows.push([cell.kind, `edges into node ${node} ${sources}`, keep, each]);
  }
  if (cell.anyOutput) rows.push([cell.kind, "output", "1 or more", cell.output.map((s) => stateName(like, s)).join(", ")]);
  return rows;
}
