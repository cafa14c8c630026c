"use strict";
(() => {
  const by = id => document.getElementById(id);
  const cases = [...document.querySelectorAll(".case")];
  const filter = by("filter"), tag = by("tag"), text = by("text"), shown = by("shown");
  const states = [...filter.querySelectorAll("[type=checkbox]")];
  const tags = cases.map(each => [...each.querySelectorAll(".tags > span")].map(name => name.textContent));
  const texts = new Map();
  const said = each => texts.get(each) ?? texts.set(each, each.textContent.toLowerCase()).get(each);

  function apply() {
    const wanted = states.filter(box => box.checked).map(box => box.value);
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    cases.forEach((each, place) => {
      const fits = (!wanted.length || wanted.includes(each.dataset.state))
        && (!tag?.value || tags[place].includes(tag.value))
        && words.every(word => said(each).includes(word));
      each.hidden = !fits;
      count += fits;
    });
    by("none").hidden = count > 0 || !cases.length;
    shown.value = shown.dataset.words.replace("{shown}", count).replace("{all}", cases.length);
  }

  function reveal() {
    const wanted = by(location.hash.slice(1));
    const folded = wanted?.closest(".case");
    if (!folded) return;
    folded.hidden = false;
    folded.open = true;
    wanted.scrollIntoView();
  }

  let waiting;
  filter.addEventListener("change", apply);
  text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 100);
  });
  const fold = open => () => cases.forEach(each => { if (!each.hidden) each.open = open; });
  by("unfold").addEventListener("click", fold(true));
  by("fold").addEventListener("click", fold(false));
  addEventListener("hashchange", reveal);
  filter.hidden = false;
  apply();
  reveal();
})();
