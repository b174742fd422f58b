// State that several parts of the page have.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** The width of an element, in pixels. */
export function useWidth(): [{ current: HTMLDivElement | null }, number] {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const node = element.current;
    if (!node) return;
    const measure = (): void => setWidth(node.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

export interface History<T> {
  value: T;
  set: (value: T) => void;
  undo: () => void;
  redo: () => void;
  canUndo: boolean;
  canRedo: boolean;
}

/** A value with what it was before; Ctrl+Z undoes, Ctrl+Y and Ctrl+Shift+Z redo. */
export function useHistory<T>(first: T): History<T> {
  const [{ values, at }, setState] = useState({ values: [first], at: 0 });
  const move = (by: number) => (): void =>
    setState((s) => ({ ...s, at: Math.max(0, Math.min(s.values.length - 1, s.at + by)) }));
  const [undo, redo] = [move(-1), move(1)];
  const set = (value: T): void => setState((s) => ({ values: [...s.values.slice(0, s.at + 1), value], at: s.at + 1 }));
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      (key === "y" || event.shiftKey ? redo : undo)();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
  return { value: values[at], set, undo, redo, canUndo: at > 0, canRedo: at < values.length - 1 };
}

/** Offers a text as a file. */
export function download(name: string, text: string, type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export const whole = (value: number): string => value.toLocaleString("en-US");

/** A number of parameters or multiply-adds in three digits or so. */
export function brief(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
  return whole(value);
}

/** A count of genotypes, as the command line has it. */
export function large(digits: string): string {
  if (digits.length <= 12) return whole(Number(digits));
  return `${(Number(digits.slice(0, 4)) / 1000).toFixed(2)} × 10${[...String(digits.length - 1)].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(d)]).join("")}`;
}
