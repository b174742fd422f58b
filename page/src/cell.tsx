// The drawing of a cell.

import { useMemo } from "preact/hooks";
import { type Spot, sameSpot, stateName } from "./genotype";
import { type Line, arrange } from "./layout";
import type { Cell } from "./types";

/** A family of ops, which have one colour. */
export function family(op: string): string {
  if (/^none$|zero/.test(op)) return "none";
  if (/skip|identity/.test(op)) return "skip";
  if (/pool/.test(op)) return "pool";
  if (/dil/.test(op)) return "dilated";
  if (/sep/.test(op)) return "separable";
  if (/conv|\dx\d/.test(op)) return "conv";
  return "other";
}

export interface CellProps {
  cell: Cell;
  wide: boolean;
  selected?: Spot | null;
  /** The parts that have changed, as "node.slot". */
  changed?: Set<string>;
  describe?: (spot: Spot) => string;
  onSelect?: (spot: Spot) => void;
  onHover?: (spot: Spot | null, target?: Element) => void;
  onKey?: (spot: Spot, event: KeyboardEvent) => void;
}

export function CellDrawing({ cell, wide, selected = null, changed, describe, onSelect, onHover, onKey }: CellProps) {
  const drawing = useMemo(() => arrange(cell, wide), [cell, wide]);
  const arrow = `arrow-${cell.kind.replace(/\W/g, "_")}`;
  const active = (spot: Spot, label: string) => ({
    tabIndex: onSelect ? 0 : undefined,
    role: onSelect ? ("button" as const) : undefined,
    "aria-label": label,
    "aria-pressed": onSelect ? sameSpot(selected, spot) : undefined,
    "data-spot": `${spot.kind}/${spot.node}/${spot.slot}`,
    onClick: () => onSelect?.(spot),
    onKeyDown: (event: KeyboardEvent) => onKey?.(spot, event),
    onMouseEnter: (event: MouseEvent) => onHover?.(spot, event.currentTarget as Element),
    onMouseLeave: () => onHover?.(null),
    onFocus: (event: FocusEvent) => onHover?.(spot, event.currentTarget as Element),
    onBlur: () => onHover?.(null),
  });
  const classesOf = (line: Line): string =>
    [
      line.op && family(line.op),
      sameSpot(selected, { kind: cell.kind, node: line.node, slot: line.slot }) && "selected",
      changed?.has(`${line.node}.${line.slot}`) && "changed",
    ].filter(Boolean).join(" ");
  const name = (line: { source: number; node: number; op: string }): string =>
    `${line.op} from ${stateName(cell, line.source)} to node ${line.node}`;
  return (
    <div class="drawing">
      <svg
        class="cell"
        data-kind={cell.kind}
        viewBox={`${drawing.left} ${drawing.top} ${drawing.width} ${drawing.height}`}
        style={{ width: `${drawing.width}px`, minWidth: `${Math.min(drawing.width, drawing.width * 0.72)}px` }}
        role="group"
        aria-label={`${cell.kind} cell`}
      >
        <defs>
          <marker id={arrow} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path class="head" d="M0,0 L8,4 L0,8 z" />
          </marker>
        </defs>
        {drawing.lines.map((line) => (
          <path key={`${line.node}.${line.slot}`} class={`line ${classesOf(line)}`} d={line.path} marker-end={`url(#${arrow})`} />
        ))}
        {drawing.lines.filter((line) => line.op).map((line) => {
          const spot = { kind: cell.kind, node: line.node, slot: line.slot };
          return (
            <g class={`edge ${classesOf(line)}`} key={`${line.node}.${line.slot}`} {...active(spot, describe?.(spot) ?? name(line))}>
              <path class="wide" d={line.path} />
              <rect x={line.x - line.width / 2} y={line.y - 12} width={line.width} height={24} rx={12} />
              <text x={line.x} y={line.y} dy="0.34em">{line.text}</text>
            </g>
          );
        })}
        {drawing.states.map((state) => {
          const editable = state.role !== "input" && (state.role === "output" || cell.ops.length > 0);
          const spot = { kind: cell.kind, node: state.role === "output" ? cell.inputs + cell.nodes.length : state.state, slot: -1 };
          const op = cell.ops[state.state - cell.inputs];
          const classes = [
            `state ${state.role}`,
            op && state.role === "node" ? family(op) : "",
            sameSpot(selected, spot) ? "selected" : "",
            changed?.has(`${spot.node}.-1`) ? "changed" : "",
          ].join(" ");
          const text = state.role === "node" && op ? `node ${state.state}: ${op}` : state.role === "output" ? "output" : stateName(cell, state.state);
          const given = editable ? active(spot, describe?.(spot) ?? text) : { "aria-label": text };
          return (
            <g class={classes} key={state.state} {...given}>
              <rect x={state.x - state.width / 2} y={state.y - 15} width={state.width} height={30} rx={state.role === "node" && !op ? 15 : 7} />
              <text x={state.x} y={state.y} dy="0.34em">{state.text}</text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const INK = `
  svg { font: 12.5px system-ui, sans-serif; background: #fff } text { text-anchor: middle; fill: #1d2430 }
  .line { fill: none; stroke: #8a94a4; stroke-width: 1.4 } .head { fill: #8a94a4 } .wide { fill: none }
  rect { fill: #eef1f6; stroke: #8a94a4 } .separable rect { fill: #d9e6fb; stroke: #4b7fd1 } .dilated rect { fill: #d8efec; stroke: #2f9186 }
  .conv rect { fill: #e5dffa; stroke: #7a63c9 } .pool rect { fill: #fbe8c8; stroke: #c08a2b } .skip rect { fill: #f1f2f4; stroke: #8a94a4 }
  .none rect { fill: #fff; stroke: #b9c0cb; stroke-dasharray: 4 3 } .title { text-anchor: start; font-weight: 600; font-size: 15px }`;

/** The drawings of the page as one SVG file. */
export function svgText(svgs: SVGSVGElement[]): string {
  let top = 0;
  let width = 0;
  const parts = svgs.map((svg) => {
    const copy = svg.cloneNode(true) as SVGSVGElement;
    const box = svg.viewBox.baseVal;
    for (const each of copy.querySelectorAll("*")) {
      for (const name of ["tabindex", "role", "aria-pressed", "data-spot"]) each.removeAttribute(name);
    }
    for (const each of copy.querySelectorAll(".selected, .changed")) each.classList.remove("selected", "changed");
    for (const name of ["style", "role", "tabindex"]) copy.removeAttribute(name);
    copy.setAttribute("width", String(box.width));
    copy.setAttribute("height", String(box.height));
    copy.setAttribute("x", "0");
    copy.setAttribute("y", String(top + 28));
    const title = document.createElementNS("http://www.w3.org/2000/svg", "text");
    title.setAttribute("class", "title");
    title.setAttribute("x", "8");
    title.setAttribute("y", String(top + 20));
    title.textContent = `${svg.dataset.kind} cell`;
    top += box.height + 36;
    width = Math.max(width, box.width);
    return [title, copy];
  });
  const whole = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  whole.setAttribute("viewBox", `0 0 ${width} ${top}`);
  whole.setAttribute("width", String(width));
  whole.setAttribute("height", String(top));
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = INK;
  whole.append(style, ...parts.flat());
  return `${new XMLSerializer().serializeToString(whole)}\n`;
}
