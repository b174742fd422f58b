// The whole network: stages of one image size, their cells, channels and sides.

import { brief, whole } from "./hooks";
import type { Context, Part, Spent, Variant } from "./types";

interface Block {
  name: string;
  what: string;
  shape: string;
  context: number | null;
  own: Spent;
}

/** The parts with what stands before a cell (c03/pre0) joined to it. */
function blocks(parts: Part[]): Block[] {
  const found: Block[] = [];
  let before: Spent = [0, 0];
  const cells = new Set(parts.filter((part) => part[4] !== null).map((part) => part[0]));
  for (const [name, what, shape, spent, context] of parts) {
    if (context === null && cells.has(name.split("/")[0])) {
      before = [before[0] + spent[0], before[1] + spent[1]];
      continue;
    }
    const own: Spent = context === null ? spent : before;
    if (context !== null) before = [0, 0];
    found.push({ name, what, shape, context, own });
  }
  return found;
}

const side = (shape: string): string => shape.split("×").slice(1).join("×");

interface OutlineProps {
  variant: Variant;
  contexts: Context[];
  cells?: Map<string, Spent>;
  moved: boolean;
  chosen: (kind: string) => string | undefined;
  onChoose: (kind: string, layer: string) => void;
}

export function Outline({ variant, contexts, cells, moved, chosen, onChoose }: OutlineProps) {
  const all = blocks(variant.parts);
  const macs = (block: Block): number => block.own[1] + (cells?.get(block.name)?.[1] ?? 0);
  const most = Math.max(1, ...all.map(macs));
  const stages: Block[][] = [];
  let before = "";
  for (const block of all) {
    const key = side(block.shape);
    if (!stages.length || (key && key !== before)) stages.push([]);
    if (key) before = key;
    stages[stages.length - 1].push(block);
  }
  const kinds = [...new Set(contexts.map((context) => context.kind))];
  return (
    <section>
      <h2>network</h2>
      {moved && <p class="small">Shapes are those of the sizes that the page was opened with.</p>}
      <div class="outline">
        {stages.map((stage, at) => {
          const widths = [...new Set(stage.filter((b) => b.context !== null).map((b) => {
            const context = contexts[b.context!];
            return context.channels || context.states[context.states.length - 1].split("×")[0];
          }))];
          return (
            <div class="stage" key={at}>
              <div class="label">{side(stage[0].shape) || stage[0].shape}{widths.length > 0 && `, ${widths.join(", ")} channels`}</div>
              <div class="blocks">
                {stage.map((block) => {
                  const spent: Spent = [block.own[0] + (cells?.get(block.name)?.[0] ?? 0), macs(block)];
                  const text = `${block.name}: ${block.what}, ${block.shape}` +
                    (cells || block.context === null ? `; ${whole(spent[0])} parameters, ${whole(spent[1])} multiply-adds` : "");
                  const inside = (
                    <>
                      <i style={{ height: `${(100 * spent[1]) / most}%` }} />
                      <span>{block.context === null ? block.name : block.name.replace(/^c0?/, "")}</span>
                    </>
                  );
                  if (block.context === null) return <div class="block op" key={block.name} title={text}>{inside}</div>;
                  return (
                    <button
                      type="button"
                      class={`block kind${kinds.indexOf(block.what) % 4}`}
                      key={block.name}
                      title={text}
                      aria-label={text}
                      aria-pressed={chosen(block.what) === block.name}
                      onClick={() => onChoose(block.what, block.name)}
                    >
                      {inside}
                    </button>
                  );
                })}
              </div>
            </div>
          );
        })}
      </div>
      <p class="small">
        {kinds.map((kind, at) => <span class={`key kind${at % 4}`} key={kind}>{kind}</span>)} Filled by multiply-adds, at most {brief(most)};
        with what gives a cell's inputs its width. A cell that is chosen here is the one whose shapes and costs its drawing tells.
      </p>
    </section>
  );
}
