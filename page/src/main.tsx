// Reads the document and shows its page.

import { render } from "preact";
import { Compilation } from "./compilation";
import { Editor } from "./editor";
import { Runs } from "./run";
import type { Page } from "./types";

const text = document.getElementById("document")!.textContent!;
const page = JSON.parse(text) as Page;
document.title = `${page.title} – nasir`;

function Whole({ page }: { page: Page }) {
  switch (page.kind) {
    case "genotype":
    case "space":
      return <Editor document={page} />;
    case "run":
    case "runs":
      return <Runs document={page} />;
    case "compilation":
      return <Compilation document={page} />;
  }
}

render(<Whole page={page} />, document.getElementById("page")!);
