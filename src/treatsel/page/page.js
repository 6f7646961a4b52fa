// Decides anew when a weight changes, exactly as `treatsel.recommendation` does, from the same draws.
// Each function has the name of its Python counterpart: decide (recommendation/_decision.py), compare
// (recommendation/_comparison.py), and those of page/_choice_view.py and page/_numbers.py.
"use strict";
(function () {
  const holder = document.getElementById("page-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const rules = data.rules, strings = data.strings, nArms = data.arms.length;
  const arms = data.arms.map((_, k) => k), eligible = arms.filter((k) => data.eligible[k]);
  const DASH = "\u2013", MINUS = "\u2212";
  data.criteria.forEach((each) => { each.byArm = each.draws === null ? null : decoded(each.draws); });
  const nDraws = Math.max(0, ...data.criteria.map((each) => (each.byArm === null ? 0 : each.byArm[0].length)));

  // Arrays of draws by arm from base64 of little-endian 64-bit numbers.
  function decoded(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer), n = bytes.length / 8 / nArms;
    return arms.map((k) => Float64Array.from({ length: n }, (_, t) => view.getFloat64(8 * (k * n + t), true)));
  }

  const exceeds = (value, bound) => value > bound + rules.rounding;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const share = (values, test) => values.reduce((n, value) => n + (test(value) ? 1 : 0), 0) / values.length;

  // ---- decision ----
  // A value on the scale of its criterion, 0 (worst) to 1 (best).
  const scaled = (each, value) => (value - each.worst) / (each.best - each.worst);

  function decide(given) {
    const total = given.reduce((sum, weight) => sum + weight, 0);
    const active = data.criteria.map((_, i) => i).filter((i) => given[i] > 0);
    const weights = given.map((weight) => weight / total);
    const utility = (of) => {
      const sum = active.reduce((total, i) => total + weights[i] * scaled(data.criteria[i], of(data.criteria[i])), 0);
      return rules.is_capped ? Math.min(sum, 1) : sum;
    };
    const values = arms.map((k) => utility((each) => each.values[k]));
    const hasDraws = active.every((i) => data.criteria[i].known || data.criteria[i].byArm !== null);
    const draws = !hasDraws ? null : arms.map((k) => Float64Array.from({ length: Math.max(nDraws, 1) }, (_, t) =>
      utility((each) => (each.byArm === null ? each.values[k] : each.byArm[k][t]))));
    const enough = arms.map((k) => active.every((i) => data.criteria[i].enough[k]));
    const known = (k) => enough[k];
    const leading = leadingArms(values);
    const first = leading.reduce((best, k) => (values[k] > values[best] ? k : best), leading[0]);
    const comparator = rules.comparator;
    const found = compare(values, draws, comparator, first);
    const bestSet = bestSetOf(values, found.expected_regret, first, draws !== null);
    const [pBetter, above] = ofTop(found, draws, leading, comparator);
    let status = statusOf(found, pBetter, above, first, comparator, bestSet);
    if (draws === null) status = "no_interval";
    if (!leading.every(known) || (comparator !== null && !known(comparator))) status = "insufficient_evidence";
    if (eligible.length === 1) status = "only_option";
    const top = leading.length > 1 ? null : first;
    let arm = top;
    if (rules.rule === "default" && rules.default !== null && data.eligible[rules.default]) arm = rules.default;
    if (rules.rule === "switch" && comparator !== null && !(pBetter > rules.p_switch)) arm = comparator;
    return { weights, status, arm, top, leading, bestSet, values, found, pBetter };
  }

  // The arms of the highest value; the comparator takes a tie.
  function leadingArms(values) {
    const highest = Math.max(...eligible.map((k) => values[k]));
    const tied = eligible.filter((k) => values[k] >= highest - rules.rounding);
    return tied.includes(rules.comparator) ? [rules.comparator] : tied;
  }

  function compare(values, draws, comparator, top) {
    const names = ["difference", "difference_lower", "difference_upper", "p_better", "p_relevantly_better",
      "expected_regret", "p_regret", "p_best", "p_above_top"];
    const found = Object.fromEntries(names.map((name) => [name, arms.map(() => NaN)]));
    if (comparator !== null) eligible.forEach((k) => { found.difference[k] = values[k] - values[comparator]; });
    if (draws === null) return found;
    const best = draws[0].map((_, t) => Math.max(...eligible.map((k) => draws[k][t])));
    const nBest = best.map((value, t) => eligible.filter((k) => value - draws[k][t] <= 0).length);
    eligible.forEach((k) => {
      const loss = best.map((value, t) => value - draws[k][t]);
      found.expected_regret[k] = mean(loss);
      found.p_regret[k] = share(loss, (value) => exceeds(value, rules.margin));
      found.p_best[k] = mean(loss.map((value, t) => (value <= 0 ? 1 / nBest[t] : 0)));
      found.p_above_top[k] = share(draws[k].map((value, t) => value - draws[top][t]), (v) => exceeds(v, rules.margin));
      if (comparator === null || k === comparator) return;
      const away = draws[k].map((value, t) => value - draws[comparator][t]);
      found.p_better[k] = share(away, (value) => value > 0);
      found.p_relevantly_better[k] = share(away, (value) => exceeds(value, rules.margin));
      away.sort();
      found.difference_lower[k] = quantile(away, (1 - rules.level) / 2);
      found.difference_upper[k] = quantile(away, (1 + rules.level) / 2);
    });
    return found;
  }

  // Type 7 (Hyndman & Fan 1996), of sorted numbers.
  function quantile(sorted, level) {
    const at = level * (sorted.length - 1), below = Math.min(Math.floor(at), sorted.length - 1);
    const above = Math.min(below + 1, sorted.length - 1), part = at - below, step = sorted[above] - sorted[below];
    return part < 0.5 ? sorted[below] + step * part : sorted[above] - step * (1 - part);
  }

  function bestSetOf(values, regret, top, hasDraws) {
    if (!hasDraws) return eligible.slice();
    const found = new Set([top]);
    const near = eligible.filter((k) => k !== top && !exceeds(values[top] - values[k], rules.margin));
    let sum = regret[top];
    near.sort((a, b) => regret[a] - regret[b]).forEach((k, i) => {
      sum += regret[k];
      if (!exceeds(sum / (i + 2), rules.margin)) found.add(k);
    });
    return arms.filter((k) => found.has(k));
  }

  // P(top arm better than the comparator), and the largest P(another arm relevantly better than it); of arms
  // that are tied, the least favorable.
  function ofTop(found, draws, leading, comparator) {
    const pBetter = comparator === null ? 0 : Math.min(...leading.map((k) => (k === comparator ? 0 : found.p_better[k])));
    if (draws === null) return [0, 0];
    const above = leading.flatMap((top) => eligible.filter((k) => k !== top).map((k) =>
      share(draws[k].map((value, t) => value - draws[top][t]), (value) => exceeds(value, rules.margin))));
    return [pBetter, Math.max(0, ...above)];
  }

  function statusOf(found, pBetter, above, top, comparator, bestSet) {
    const stays = comparator !== null && top === comparator;
    if (pBetter >= rules.clear && !exceeds(rules.margin, found.difference[top])) return "clear_gain";
    if (stays && above < rules.ruled_out) return "default_best";
    if (pBetter >= rules.leaning) return "leaning";
    if (bestSet.length > 1 && above < rules.ruled_out) return "equivalent";
    return "undecided";
  }

  // ---- words ----
  const of100 = (p) => Math.floor(100 * p + 0.5);
  const chanceOf100 = (p) => Math.min(Math.max(of100(p), 1), 99);
  const percent = (p) => (p !== p ? DASH : `${of100(p)} %`);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
  const named = (list) => joined(list.map((k) => data.arms[k]));

  function points(difference) {
    if (difference !== difference) return DASH;
    const found = of100(difference);
    return found > 0 ? `+${found}` : String(Math.abs(found) === 0 ? 0 : found).replace("-", MINUS);
  }

  function tenths(loss) {
    if (loss !== loss) return DASH;
    const found = Math.floor(1000 * loss + 0.5);
    return `${Math.floor(found / 10)}.${found % 10}`;
  }

  function joined(texts) {
    if (texts.length < 2) return texts.join("");
    return texts.slice(0, -1).join(strings.list_comma) + strings.list_and + texts[texts.length - 1];
  }

  function choiceView(choice) {
    const said = strings.status[choice.status], comparator = rules.comparator;
    const pBetter = choice.found.p_better[choice.leading[0]] === choice.found.p_better[choice.leading[0]]
      ? choice.pBetter : NaN;
    const values = {
      arm: named(choice.leading),
      arms: named(choice.bestSet),
      comparator: comparator === null ? "" : data.arms[comparator],
      p_better: pBetter !== pBetter ? "" : chanceOf100(pBetter),
    };
    return {
      status: choice.status,
      headline: fill(said.headline, values),
      text: fill(said.text, values),
      groups: groupsOf(choice),
      rule: rules.rule === "expected" || choice.arm === null ? "" : fill(strings.fit.rule, { arm: data.arms[choice.arm] }),
      weights: weightsText(choice),
      bestSet: named(choice.bestSet) || strings.clinician.none,
      contrasts: contrastsOf(choice),
    };
  }

  function groupsOf(choice) {
    const said = strings.fit, status = choice.status;
    const ordered = eligible.slice().sort((a, b) => choice.values[b] - choice.values[a]);
    if (status === "only_option") return [[said.only, namesOf(eligible), false]];
    if (status === "no_interval" || status === "insufficient_evidence") return [[said.order, namesOf(ordered), true]];
    const better = status === "clear_gain" || status === "leaning";
    const together = choice.bestSet.filter((k) => !(better && k === rules.comparator)), several = together.length > 1;
    const words = { undecided: ["unsure_one", "unsure"], equivalent: ["best", "together"] }[status] || ["best", "small"];
    const heading = said[words[several ? 1 : 0]];
    const rest = ordered.filter((k) => !together.includes(k));
    const groups = [[heading, namesOf(together), false]];
    return rest.length ? groups.concat([[said.rest, namesOf(rest), true]]) : groups;
  }

  function namesOf(list) { return list.map((k) => data.arms[k]); }

  function weightsText(choice) {
    const parts = data.criteria.map((each, i) =>
      fill(strings.weights.used_one, { phrase: each.phrase, percent: of100(choice.weights[i]) }));
    return parts.join(strings.list_comma);
  }

  function contrastsOf(choice) {
    const found = choice.found;
    return eligible.map((k) => [
      data.arms[k], String(of100(choice.values[k])), differenceText(found, k), percent(found.p_better[k]),
      percent(found.p_relevantly_better[k]), tenths(found.expected_regret[k]), percent(found.p_regret[k]), percent(found.p_best[k]),
    ]);
  }

  function differenceText(found, k) {
    if (k === rules.comparator) return strings.clinician.comparator;
    const value = points(found.difference[k]);
    if (found.difference_lower[k] !== found.difference_lower[k]) return value;
    return fill(strings.clinician.interval, { value, lower: points(found.difference_lower[k]), upper: points(found.difference_upper[k]) });
  }

  // ---- page ----
  const byId = (id) => document.getElementById(id);
  const sliders = Array.from(document.querySelectorAll("input[type=range]"));
  const outputs = sliders.map((slider) => byId(`${slider.id}-value`));

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function show(weights) {
    const choice = decide(weights), view = choiceView(choice);
    byId("yours").dataset.status = view.status;
    byId("headline").textContent = view.headline;
    byId("status-text").textContent = view.text;
    byId("rule-text").textContent = view.rule;
    byId("groups").replaceChildren(...view.groups.flatMap(([heading, names, ordered], i) => {
      const list = element(ordered ? "ol" : "ul", undefined, ordered ? "rest" : "lead");
      if (ordered) list.start = i ? view.groups[0][1].length + 1 : 1;
      list.append(...names.map((name) => element("li", name)));
      return [element("p", heading, "group"), list];
    }));
    byId("weights-used").textContent = fill(strings.weights.used, { weights: view.weights });
    byId("fact-weights").textContent = view.weights;
    byId("fact-status").textContent = view.status;
    byId("fact-best-set").textContent = view.bestSet;
    byId("contrasts").replaceChildren(...view.contrasts.map((texts) => {
      const row = element("tr");
      row.append(...texts.map((text, j) => {
        const cell = element(j ? "td" : "th", text);
        if (!j) cell.scope = "row";
        return cell;
      }));
      return row;
    }));
    outputs.forEach((output, i) => { output.textContent = fill(strings.weights.value, { percent: of100(choice.weights[i]) }); });
    sliders.forEach((slider, i) => slider.setAttribute("aria-valuetext", outputs[i].textContent));
    byId("announcement").textContent = fill(strings.fit.announce, { arms: view.groups[0][1].join(strings.list_comma), headline: view.headline });
  }

  function moved() {
    let weights = sliders.map((slider) => Number(slider.value));
    if (!weights.some((weight) => weight > 0)) weights = weights.map(() => 1); // nothing matters: all the same
    // what is predicted counts at least a little: it breaks ties between arms that are otherwise the same
    if (!weights.some((weight, i) => weight > 0 && !data.criteria[i].known)) weights[0] = 1e-6;
    show(weights);
  }

  function set(weights) {
    sliders.forEach((slider, i) => { slider.value = String(weights[i]); });
    sliders[0].dispatchEvent(new Event("input", { bubbles: true }));
  }

  // The reset button shows again what Python wrote: there, weights may be known in part only.
  const written = ["headline", "status-text", "rule-text", "groups", "weights-used", "fact-weights", "fact-status",
    "fact-best-set", "contrasts"].map((id) => [byId(id), byId(id).innerHTML]);
  const status = byId("yours").dataset.status, shown = outputs.map((output) => output.textContent);
  function reset() {
    sliders.forEach((slider, i) => {
      slider.value = String(of100(data.weights[i]));
      outputs[i].textContent = shown[i];
      slider.setAttribute("aria-valuetext", shown[i]);
    });
    written.forEach(([node, text]) => { node.innerHTML = text; });
    byId("yours").dataset.status = status;
    const first = Array.from(byId("groups").querySelector(".lead, .rest").children, (item) => item.textContent);
    const said = { arms: first.join(strings.list_comma), headline: byId("headline").textContent };
    byId("announcement").textContent = fill(strings.fit.announce, said);
  }

  function fromAddress() {
    const found = /weights=([\d,]+)/.exec(location.hash);
    const weights = found ? found[1].split(",").map(Number) : [];
    if (weights.length === sliders.length) set(weights);
  }

  sliders.forEach((slider) => slider.addEventListener("input", moved));
  byId("set-equal").addEventListener("click", () => set(sliders.map(() => 50)));
  byId("set-first").addEventListener("click", () => set(sliders.map((_, i) => (i ? 0 : 100))));
  byId("set-start").addEventListener("click", reset);
  window.addEventListener("hashchange", fromAddress);
  byId("sliders").hidden = false;
  fromAddress();
  document.documentElement.dataset.ready = "true";
})();
