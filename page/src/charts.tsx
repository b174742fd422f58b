// Charts of numbers over epochs, histograms, and bars.

import { scaleLinear, scaleLog } from "d3-scale";
import { area, line } from "d3-shape";
import { brief, useWidth, whole } from "./hooks";
import type { Histogram } from "./types";

export interface Series {
  name: string;
  points: [epoch: number, value: number][];
  dashed?: boolean;
  /** Least and most, for a band behind the line. */
  band?: [epoch: number, least: number, most: number][];
  /** The number of its colour; else its place. */
  colour?: number;
}

interface LinesProps {
  title: string;
  series: Series[];
  at?: number;
  unit?: string;
  log?: boolean;
  onPick?: (epoch: number) => void;
}

const HEIGHT = 190;
const MARGIN = { left: 46, right: 12, top: 8, bottom: 24 };

export function Lines({ title, series, at, unit = "", log = false, onPick }: LinesProps) {
  const [element, width] = useWidth();
  const points = series.flatMap((each) => [...each.points, ...(each.band ?? []).flatMap(([e, a, b]): [number, number][] => [[e, a], [e, b]])]);
  if (!points.length) return null;
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const x = scaleLinear([Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)], [MARGIN.left, Math.max(MARGIN.left + 10, width - MARGIN.right)]);
  const [least, most] = [Math.min(...ys), Math.max(...ys)];
  const counts = ys.every(Number.isInteger) && most - least < 20;
  const room = (most - least || Math.abs(most) || 1) * 0.05;
  const bottom = HEIGHT - MARGIN.bottom;
  const y = log && least > 0
    ? scaleLog([least, most * 1.02], [bottom, MARGIN.top])
    : scaleLinear([least < 0 ? least - room : Math.max(0, least - room), most + room], [bottom, MARGIN.top]).nice(5);
  const path = line<[number, number]>((p) => x(p[0]), (p) => y(p[1]));
  const band = area<[number, number, number]>((p) => x(p[0]), (p) => y(p[1]), (p) => y(p[2]));
  const valueAt = (each: Series): number | undefined => each.points.find(([e]) => e === at)?.[1];
  const pick = (event: MouseEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    onPick?.(Math.round(x.invert(event.clientX - box.left)));
  };
  return (
    <figure class="chart" ref={element as never}>
      <figcaption>{title}</figcaption>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={`${title}: ${series.map((s) => s.name).join(", ")}`} onClick={pick}>
          {y.ticks(5).filter((tick) => !counts || Number.isInteger(tick)).map((tick) => (
            <g key={tick}>
              <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(tick)} y2={y(tick)} />
              <text class="tick end" x={MARGIN.left - 6} y={y(tick)} dy="0.32em">{Math.abs(tick) >= 1e4 ? brief(tick) : +tick.toPrecision(6)}</text>
            </g>
          ))}
          {x.ticks(Math.max(2, Math.min(8, width / 70))).filter(Number.isInteger).map((tick) => (
            <text class="tick mid" key={tick} x={x(tick)} y={HEIGHT - 8}>{tick}</text>
          ))}
          {series.map((each, place) => each.band && <path key={each.name} class={`band c${(each.colour ?? place) % 8}`} d={band(each.band) ?? ""} />)}
          {series.map((each, place) => (
            <g key={each.name} class={`c${(each.colour ?? place) % 8}`}>
              <path class={each.dashed ? "series dashed" : "series"} d={path(each.points) ?? ""} />
              {each.points.length === 1 && <circle class="dot" r={3} cx={x(each.points[0][0])} cy={y(each.points[0][1])} />}
              {valueAt(each) !== undefined && <circle class="dot" r={3.5} cx={x(at!)} cy={y(valueAt(each)!)} />}
            </g>
          ))}
          {at !== undefined && at >= x.domain()[0] && at <= x.domain()[1] && <line class="now" x1={x(at)} x2={x(at)} y1={MARGIN.top} y2={bottom} />}
        </svg>
      )}
      <div class="legend">
        {series.map((each, place) => (
          <span key={each.name} class={`c${(each.colour ?? place) % 8}${each.dashed ? " dashed" : ""}`}>
            {each.name}{valueAt(each) !== undefined && <b> {+valueAt(each)!.toPrecision(4)}{unit}</b>}
          </span>
        ))}
      </div>
    </figure>
  );
}

export function Bars({ histogram, label, mark }: { histogram: Histogram; label: string; mark?: number }) {
  const [element, width] = useWidth();
  const { least, width: step, counts } = histogram;
  if (counts.length === 1) {
    return <figure class="chart" ref={element as never}><figcaption>{label}</figcaption><p>Every one has {step > 1 ? "about " : ""}{whole(least)}.</p></figure>;
  }
  const end = least + step * counts.length;
  const x = scaleLinear([least, end], [20, Math.max(30, width - 24)]);
  const y = scaleLinear([0, Math.max(...counts)], [HEIGHT - 26, 8]);
  return (
    <figure class="chart" ref={element as never}>
      <figcaption>{label}</figcaption>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={`histogram of ${label} from ${whole(least)} to ${whole(end - 1)}`}>
          {counts.map((n, at) => (
            <rect class="bin" key={at} x={x(least + at * step) + 0.5} width={Math.max(1, x(least + step) - x(least) - 1)} y={y(n)} height={HEIGHT - 26 - y(n)}>
              <title>{`${whole(least + at * step)} to ${whole(least + (at + 1) * step - 1)}: ${n}`}</title>
            </rect>
          ))}
          {x.ticks(Math.max(2, Math.min(5, width / 90))).map((tick) => <text class="tick mid" key={tick} x={x(tick)} y={HEIGHT - 8}>{brief(tick)}</text>)}
          {mark !== undefined && mark >= least && mark <= end && <line class="now" x1={x(mark)} x2={x(mark)} y1={4} y2={HEIGHT - 26} />}
        </svg>
      )}
      {mark !== undefined && <div class="legend"><span>the genotype above: <b>{whole(mark)}</b></span></div>}
    </figure>
  );
}
