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
    // The letters are white on dark colours, as conversations/theme.py has them.
    const linear = (at) => {
        const channel = parseInt(color.value.slice(at, at + 2), 16) / 255;
        return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    };
    const show = () => {
        const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
        disc.setAttribute("fill", color.value);
        text.setAttribute("fill", luminance < 0.18 ? "#ffffff" : "#1c1a17");
        text.setAttribute("font-size", [...emblem.value].length < 3 ? "20" : "13");
        text.textContent = emblem.value;
    };
    color.addEventListener("input", show);
    emblem.addEventListener("input", show);
});
