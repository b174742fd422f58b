// The pages of one run, and of several side by side.

import { useEffect, useMemo, useState } from "preact/hooks";
import { CellDrawing } from "./cell";
import { Lines, type Series } from "./charts";
import { useWidth } from "./hooks";
import type { Cell, Genotype, Metrics, Run, RunsDocument } from "./types";

const STEP = 350;

export function Runs({ document: given }: { document: RunsDocument }) {
  const { runs } = given;
  const epochs = useMemo(() => {
    const all = new Set<number>();
    for (const run of runs) {
      run.metrics.forEach((row) => all.add(row.epoch));
      for (const epoch of [...Object.keys(run.weights), ...Object.keys(run.genotypeAt)]) all.add(Number(epoch));
    }
    return [...all].sort((a, b) => a - b);
  }, []);
  const [place, setPlace] = useState(Math.max(0, epochs.length - 1));
  const [playing, setPlaying] = useState(false);
  const at = epochs[place];
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => setPlace((now) => (now + 1 < epochs.length ? now + 1 : now)), STEP);
    return () => clearInterval(timer);
  }, [playing]);
  useEffect(() => { if (place >= epochs.length - 1) setPlaying(false); }, [place]);
  const pick = (epoch: number): void => {
    const near = epochs.reduce((best, each, index) => (Math.abs(each - epoch) < Math.abs(epochs[best] - epoch) ? index : best), 0);
    setPlace(near);
  };
  const play = (): void => {
    if (!playing && place >= epochs.length - 1) setPlace(0);
    setPlaying(!playing);
  };
  return (
    <>
      <header>
        <h1>{given.title}</h1>
        <p>{runs.length === 1 ? runs[0].name : runs.map((run) => run.name).join(", ")}</p>
      </header>
      {epochs.length > 1 && (
        <div class="bar" role="toolbar" aria-label="epoch">
          <button type="button" onClick={() => setPlace(Math.max(0, place - 1))} disabled={place === 0} aria-label="epoch before">‹</button>
          <input
            type="range"
            min={0}
            max={epochs.length - 1}
            value={place}
            aria-label="epoch"
            aria-valuetext={`epoch ${at}`}
            onInput={(event) => setPlace(Number(event.currentTarget.value))}
          />
          <button type="button" onClick={() => setPlace(Math.min(epochs.length - 1, place + 1))} disabled={place === epochs.length - 1} aria-label="next epoch">›</button>
          <output>epoch {at}</output>
          <button type="button" onClick={play}>{playing ? "Stop" : "Play"}</button>
        </div>
      )}
      <main>
        {runs.length === 1 ? <One run={runs[0]} at={at} pick={pick} /> : <Several runs={runs} at={at} pick={pick} />}
      </main>
    </>
  );
}

interface Shown {
  at: number | undefined;
  pick: (epoch: number) => void;
}

const SPLITS = ["train", "valid", "test"] as const;

function column(metrics: Metrics[], value: (row: Metrics) => number | null | undefined): [number, number][] {
  return metrics.flatMap((row): [number, number][] => {
    const found = value(row);
    return found == null ? [] : [[row.epoch, found]];
  });
}

const mean = (row: Metrics): number | null => {
  const values = Object.values(row.entropy).filter((each): each is number => each !== null);
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
};

const measuresOf = (run: Run): string[] =>
  [...new Set(run.metrics.flatMap((row) => SPLITS.flatMap((split) => Object.keys(row[split]))))];

function truthSeries(run: Run, name = "true accuracy of the selection", colour = 4): Series[] {
  if (!run.truth) return [];
  const points = Object.entries(run.truth.accuracy).map(([e, v]): [number, number] => [Number(e), v]);
  const band = Object.entries(run.truth.bands).map(([e, row]): [number, number, number] => [Number(e), row[0], row[4]]);
  return [{ name, points, band: band.length ? band : undefined, colour }];
}

function One({ run, at, pick }: Shown & { run: Run }) {
  const kinds = [...new Set(Object.values(run.slots).map((slot) => slot.kind))];
  const entropies: Series[] = kinds.map((kind, place) => ({
    name: kinds.length > 1 ? `${kind}, mean` : "mean",
    colour: place,
    points: column(run.metrics, (row) => {
      const own = Object.entries(row.entropy).filter(([name, v]) => run.slots[name]?.kind === kind && v !== null).map(([, v]) => v!);
      return own.length ? own.reduce((a, b) => a + b, 0) / own.length : null;
    }),
  }));
  const skipKinds = [...new Set(run.metrics.flatMap((row) => Object.keys(row.skips)))];
  return (
    <>
      <Selection run={run} at={at} />
      <section>
        <h2>epochs</h2>
        <div class="charts">
          {measuresOf(run).map((measure) => (
            <Lines
              key={measure}
              title={measure === "loss" ? "loss (nats)" : measure === "accuracy" ? "accuracy (%)" : measure}
              at={at}
              onPick={pick}
              series={SPLITS.map((split, place) => ({ name: split, colour: place, points: column(run.metrics, (row) => row[split][measure]) }))
                .filter((each) => each.points.length)}
            />
          ))}
          {run.truth && (
            <Lines
              title={`accuracy in ${run.truth.title} (%), its best ${run.truth.best.toFixed(2)}; shaded: drawn cells`}
              at={at}
              onPick={pick}
              series={truthSeries(run)}
            />
          )}
          <Lines title="entropy of decisions (nats)" at={at} onPick={pick} series={entropies.filter((each) => each.points.length)} />
          <Lines
            title="skip connections"
            at={at}
            onPick={pick}
            series={skipKinds.map((kind) => ({ name: kind, points: column(run.metrics, (row) => row.skips[kind]) }))}
          />
          <Lines title="largest eigenvalue of the architecture's Hessian" at={at} onPick={pick} series={[{ name: "eigenvalue", points: column(run.metrics, (row) => row.eigenvalue) }]} />
          <Lines title="learning rate" at={at} onPick={pick} series={[{ name: "lr", points: column(run.metrics, (row) => row.lr) }]} />
        </div>
      </section>
      <Weights run={run} at={at} />
      <section>
        <h2>settings</h2>
        <FactsTable rows={Object.entries(run.facts)} />
      </section>
    </>
  );
}

/** The genotype of the latest epoch with one, at that epoch; and the one before it. */
function selected(run: Run, at: number | undefined): { epoch: number | null; genotype: Genotype | null; before: Genotype | null } {
  const epochs = Object.keys(run.genotypeAt).map(Number).sort((a, b) => a - b).filter((epoch) => at === undefined || epoch <= at);
  if (!epochs.length) return { epoch: null, genotype: run.final, before: null };
  const get = (back: number): Genotype | null => {
    const epoch = epochs[epochs.length - back];
    return epoch === undefined ? null : run.genotypes[run.genotypeAt[epoch]];
  };
  return { epoch: epochs[epochs.length - 1], genotype: get(1), before: get(2) };
}

/** The edges and nodes that the cell before did not have. */
function changes(cell: Cell, before: Cell | undefined): Set<string> {
  const found = new Set<string>();
  if (!before) return found;
  cell.nodes.forEach((edges, at) => {
    const old = (before.nodes[at] ?? []).map((edge) => edge.join("\n"));
    edges.forEach((edge, slot) => {
      const place = old.indexOf(edge.join("\n"));
      if (place < 0) found.add(`${cell.inputs + at}.${slot}`);
      else old.splice(place, 1);
    });
    if (cell.ops[at] !== before.ops[at]) found.add(`${cell.inputs + at}.-1`);
  });
  return found;
}

function Selection({ run, at }: { run: Run; at: number | undefined }) {
  const [element, width] = useWidth();
  const { epoch, genotype, before } = selected(run, at);
  const moved = genotype ? genotype.cells.map((cell) => changes(cell, before?.cells.find((c) => c.kind === cell.kind))) : [];
  const count = moved.reduce((sum, each) => sum + each.size, 0);
  return (
    <section ref={element as never}>
      <h2>{epoch === null ? "genotype" : `selection of epoch ${epoch}`}<small>{count ? ` ${count} changed` : ""}</small></h2>
      {!genotype && <p>The run has no genotype yet.</p>}
      {width > 0 && genotype?.cells.map((cell, place) => (
        <div key={cell.kind}>
          {genotype.cells.length > 1 && <h3>{cell.kind}</h3>}
          <CellDrawing cell={cell} wide={width >= 600} changed={moved[place]} />
        </div>
      ))}
    </section>
  );
}

function taken(genotype: Genotype | null, run: Run, name: string): Set<string> {
  const slot = run.slots[name];
  const cell = genotype?.cells.find((each) => each.kind === slot.kind);
  if (!cell) return new Set();
  const edges = cell.nodes[slot.node - cell.inputs] ?? [];
  if (slot.role === "op on edge") return new Set(edges.filter(([, s]) => s === slot.source).map(([op]) => op));
  if (slot.role === "op on node") return new Set([cell.ops[slot.node - cell.inputs] ?? edges.map(([op]) => op)[0]]);
  if (slot.role === "output") return new Set(cell.output.map(String));
  return new Set(edges.map(([, s]) => String(s)));
}

function Weights({ run, at }: { run: Run; at: number | undefined }) {
  const epochs = Object.keys(run.weights).map(Number).filter((epoch) => at === undefined || epoch <= at);
  if (!epochs.length) return null;
  const epoch = Math.max(...epochs);
  const row = run.weights[epoch];
  const { genotype } = selected(run, at);
  const names = Object.keys(run.choices).filter((name) => row[name]);
  const tables = [...new Set(names.map((name) => `${run.slots[name].kind}\n${run.choices[name].join("\n")}`))];
  return (
    <section>
      <h2>weights of decisions<small> epoch {epoch}</small></h2>
      <p class="small">Framed: what the selection has. The more colour, the heavier.</p>
      <div class="tables">{tables.map((key) => {
        const [kind, ...options] = key.split("\n");
        const own = names.filter((name) => `${run.slots[name].kind}\n${run.choices[name].join("\n")}` === key);
        return (
          <div class="scroll" key={key}>
            <table class="weights">
              <thead><tr><th>{kind}</th>{options.map((option) => <th key={option}>{option.split("_").flatMap((part, at) => (at ? [<wbr key={at} />, `_${part}`] : [part]))}</th>)}</tr></thead>
              <tbody>
                {own.map((name) => {
                  const frame = taken(genotype, run, name);
                  return (
                    <tr key={name}>
                      <th>{name.split("/").pop()}</th>
                      {options.map((option, place) => {
                        const weight = row[name][place];
                        const share = weight === null || weight === undefined ? 0 : Math.max(0, Math.min(1, weight));
                        return (
                          <td
                            key={option}
                            class={frame.has(option) ? "taken" : ""}
                            style={{ "--share": share.toFixed(3) }}
                            title={`${name}: ${option} ${weight ?? "not finite"}`}
                          >
                            {weight === null ? "–" : weight?.toFixed(2).replace(/^0/, "")}
                          </td>
                        );
                      })}
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        );
      })}</div>
    </section>
  );
}

function Several({ runs, at, pick }: Shown & { runs: Run[] }) {
  const measures = [...new Set(runs.flatMap(measuresOf))].filter((name) => name !== "loss");
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.facts)))];
  const differing = names.filter((name) => new Set(runs.map((run) => run.facts[name])).size > 1);
  const best = (split: "valid" | "train") => (measure: string): Series[] =>
    runs.map((run, colour) => ({ name: run.name, colour, points: column(run.metrics, (row) => row[split][measure]) })).filter((each) => each.points.length);
  return (
    <>
      <section>
        <h2>epochs</h2>
        <div class="charts">
          {measures.map((measure) => <Lines key={measure} title={`${measure}, held-out data`} at={at} onPick={pick} series={best("valid")(measure)} />)}
          <Lines title="training loss (nats)" at={at} onPick={pick} series={best("train")("loss")} />
          <Lines title="held-out loss (nats)" at={at} onPick={pick} series={best("valid")("loss")} />
          <Lines title="true accuracy of the selections (%)" at={at} onPick={pick} series={runs.flatMap((run, colour) => truthSeries(run, run.name, colour))} />
          <Lines title="mean entropy of decisions (nats)" at={at} onPick={pick} series={runs.map((run, colour) => ({ name: run.name, colour, points: column(run.metrics, mean) })).filter((s) => s.points.length)} />
          <Lines
            title="skip connections of all cells"
            at={at}
            onPick={pick}
            series={runs.map((run, colour) => ({
              name: run.name, colour,
              points: column(run.metrics, (row) => (Object.keys(row.skips).length ? Object.values(row.skips).reduce((a, b) => a + b, 0) : null)),
            })).filter((each) => each.points.length)}
          />
          <Lines title="largest eigenvalue" at={at} onPick={pick} series={runs.map((run, colour) => ({ name: run.name, colour, points: column(run.metrics, (row) => row.eigenvalue) })).filter((s) => s.points.length)} />
        </div>
      </section>
      <div class="columns">
        {runs.map((run, colour) => (
          <div key={run.name} class="column">
            <h2 class={`c${colour % 8} name`}>{run.name}</h2>
            <p class="small">{run.description}</p>
            <Selection run={run} at={at} />
          </div>
        ))}
      </div>
      {differing.length > 0 && (
        <section>
          <h2>settings that differ</h2>
          <div class="scroll">
            <table>
              <thead><tr><th>setting</th>{runs.map((run) => <th key={run.name}>{run.name}</th>)}</tr></thead>
              <tbody>
                {differing.map((name) => (
                  <tr key={name}><td>{name}</td>{runs.map((run) => <td key={run.name}>{run.facts[name] ?? "–"}</td>)}</tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </>
  );
}

export function FactsTable({ rows }: { rows: [string, string | number][] }) {
  return (
    <div class="scroll">
      <table><tbody>{rows.map(([name, value]) => <tr key={name}><th>{name}</th><td class="wrap">{value}</td></tr>)}</tbody></table>
    </div>
  );
}
