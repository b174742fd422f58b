// The page of a compilation: its passes and forms.

import { CellDrawing } from "./cell";
import { useWidth, whole } from "./hooks";
import { FactsTable } from "./run";
import type { CompilationDocument } from "./types";

const ms = (seconds: number): string => `${(seconds * 1e3).toPrecision(3)} ms`;
const percent = (name: string, value: number): string =>
  /accuracy|top/.test(name) ? `${value.toFixed(2)} %` : String(+value.toPrecision(5));

export function Compilation({ document: given }: { document: CompilationDocument }) {
  const [element, width] = useWidth();
  const { passes, forms } = given;
  const most = Math.max(1, ...passes.flatMap((each) => [each.before, each.after]));
  const slowest = Math.max(0, ...forms.map((each) => each.latency?.seconds ?? 0));
  const eager = forms[0]?.latency?.seconds;
  const measures = [...new Set(forms.flatMap((each) => Object.keys(each.accuracy?.measures ?? {})))];
  const held = forms.find((each) => each.accuracy)?.accuracy;
  const expanded = passes.find((each) => each.name === "expand")?.after;
  const fastest = forms.filter((each) => each.latency).sort((a, b) => a.latency!.seconds - b.latency!.seconds)[0];
  return (
    <>
      <header>
        <h1>{given.name}</h1>
        <p>{given.size} · {given.weights || `random weights, seed ${given.seed}`} · nasir {given.nasir}</p>
      </header>
      <div class="bar">
        <div class="totals">
          <div class="total"><b>{whole(given.cost.params)}</b><span>parameters</span></div>
          <div class="total"><b>{whole(given.cost.macs)}</b><span>multiply-adds</span></div>
          {expanded !== undefined && <div class="total"><b>{expanded} → {passes[passes.length - 1].after}</b><span>nodes, before and after passes</span></div>}
          {fastest && eager && <div class="total"><b>{ms(eager)} → {ms(fastest.latency!.seconds)}</b><span>{forms[0].form} → {fastest.form}</span></div>}
        </div>
      </div>
      <main ref={element}>
        <section>
          <h2>forms</h2>
          <div class="scroll">
            <table class="full">
              <thead>
                <tr>
                  <th>form</th><th class="meter">median latency</th><th>lowest</th><th>speed-up</th><th>difference</th>
                  {measures.map((name) => <th key={name}>{name}</th>)}
                  <th>note</th>
                </tr>
              </thead>
              <tbody>
                {forms.map((each) => (
                  <tr key={each.form}>
                    <th>{each.form}{each.form === given.target ? " ✓" : ""}</th>
                    <td class="meter">{each.latency && <Meter share={each.latency.seconds / slowest} text={ms(each.latency.seconds)} />}</td>
                    <td>{each.latency ? ms(each.latency.lowest) : "–"}</td>
                    <td>{each.latency && eager ? `${(eager / each.latency.seconds).toFixed(2)}×` : "–"}</td>
                    <td>{each.difference ? each.difference.difference.toExponential(1) : "–"}</td>
                    {measures.map((name) => <td key={name}>{each.accuracy ? percent(name, each.accuracy.measures[name]) : "–"}</td>)}
                    <td class="wrap">{[each.form === given.target ? "selected" : "", each.note].filter(Boolean).join("; ")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {held && <p class="small">Measured on {whole(held.count)} of the {held.split} data.</p>}
        </section>
        <section>
          <h2>passes</h2>
          <div class="scroll">
            <table class="full">
              <thead><tr><th>pass</th><th class="meter">nodes after</th><th>before</th><th>change</th><th>time</th></tr></thead>
              <tbody>
                {passes.map((each, at) => (
                  <tr key={at} class={each.changed ? "" : "dim"}>
                    <th>{each.name}</th>
                    <td class="meter"><Meter share={each.after / most} text={whole(each.after)} /></td>
                    <td>{whole(each.before)}</td>
                    <td>{each.after === each.before ? (each.changed ? "rewritten" : "–") : `${each.after > each.before ? "+" : "−"}${whole(Math.abs(each.after - each.before))}`}</td>
                    <td>{ms(each.seconds)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
        <section>
          <h2>cells</h2>
          {width > 0 && given.genotype.cells.map((cell) => (
            <div key={cell.kind}>{given.genotype.cells.length > 1 && <h3>{cell.kind}</h3>}<CellDrawing cell={cell} wide={width >= 640} /></div>
          ))}
        </section>
        <div class="pair">
          <section><h2>time of each stage</h2><FactsTable rows={given.stages.map((each) => [each.name, `${each.seconds.toFixed(2)} s`])} /></section>
          <section>
            <h2>measured on</h2>
            <FactsTable rows={[...Object.entries(given.machine), ["in a batch", given.batch]]} />
            <p class="small">Files: {given.files.join(", ")}</p>
          </section>
        </div>
      </main>
    </>
  );
}

function Meter({ share, text }: { share: number; text: string }) {
  return <span class="meter"><i style={{ width: `${(100 * share).toFixed(1)}%` }} /><b>{text}</b></span>;
}
