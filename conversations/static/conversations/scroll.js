/** Keeps the end of the conversation in view for those who are there, and leaves others alone. */

import { setHidden } from "./focus.js";

export class Scroll {
  #atEnd = false;
  #top = 0;

  constructor() {
    this.scroller = /** @type {HTMLElement} */ (document.getElementById("scroller"));
    this.button = document.getElementById("to-bottom");
    const column = /** @type {HTMLElement} */ (document.getElementById("column"));
    this.scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    this.button?.addEventListener("click", () => this.toEnd());
    const sizes = new ResizeObserver(() => this.#follow());
    sizes.observe(column);
    sizes.observe(this.scroller);
    fitViewport();
  }

  /** Something new is at the end. */
  arrived() {
    if (!this.#atEnd && this.button) this.button.hidden = false;
  }

  toEnd() {
    this.#atEnd = true;
    this.#follow();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    // Only who scrolls up leaves the end, by however little. That the end moves away is not their
    // doing: a scroll event may come after new messages were added and before the page has
    // followed them. Positions are fractions of a pixel.
    if (scrollHeight - scrollTop - clientHeight < 2) this.#atEnd = true;
    else if (scrollTop < this.#top) this.#atEnd = false;
    this.#top = scrollTop;
    if (this.#atEnd && this.button) setHidden(this.button, true, this.scroller);
  }

  #follow() {
    if (this.#atEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#look();
  }
}

/**
 * Where the on-screen keyboard lies over the page instead of making it smaller (Safari), the page
 * is made as high as what is left.
 */
function fitViewport() {
  const viewport = window.visualViewport;
  if (!viewport) return;
  const fit = () => {
    const covered = viewport.scale === 1 && innerHeight - viewport.height > 1;
    const height = covered ? `${viewport.height}px` : "";
    document.documentElement.style.setProperty("--viewport-height", height);
    if (covered) scrollTo(0, 0);
  };
  viewport.addEventListener("resize", fit);
  fit();
}
