/* The avatar in a character's form follows what is typed. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
    const disc = document.querySelector(".persona-preview circle");
    const text = document.querySelector(".persona-preview text");
    const color = document.querySelector("#id_color");
    const emblem = document.querySelector("#id_emblem");
    if (!disc || !text || !color || !emblem) {
        return;
    }
    const show = () => {
        const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.value.slice(at, at + 2), 16));
        disc.setAttribute("fill", color.value);
        text.setAttribute("fill", 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff");
        text.setAttribute("font-size", [...emblem.value].length < 3 ? "20" : "13");
        text.textContent = emblem.value;
    };
    color.addEventListener("input", show);
    emblem.addEventListener("input", show);
});
