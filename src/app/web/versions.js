// @ts-check
/** The versions of turns on the page: which one is shown, and the way to the others. */

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./turn.js").TurnView} TurnView */

/**
 * Tells of each turn which of its versions it is.
 * @param {Conversation} conversation @param {TurnView[]} turns from the first one
 */
export function showVersions(conversation, turns) {
  const versions = conversation.versions();
  let previous = "";
  for (const turn of turns) {
    const all = versions.get(previous) ?? [];
    const at = all.findIndex(({ id }) => id === turn.id);
    if (at < 0)
      turn.showBranches(all.length, all.length + 1); // It is being sent.
    else turn.showBranches(at, all.length);
    previous = turn.id;
  }
}

/**
 * The stream with which another version of a turn ends; "" if there is none.
 * @param {Conversation} conversation @param {TurnView} turn
 * @param {string} previous the id of the turn before it @param {number} step
 */
export function versionBeside(conversation, turn, previous, step) {
  const versions = conversation.following(previous);
  const next = versions[versions.findIndex(({ id }) => id === turn.id) + step];
  return next ? conversation.newest(next.id) : "";
}

/** Puts the focus where the next step is taken. @param {TurnView | undefined} turn @param {number} step */
export function focusVersions(turn, step) {
  const place = turn?.element.querySelector(".branches");
  const way = step < 0 ? ".before" : ".behind";
  const target = place?.querySelector(`${way}:enabled`) ?? place?.querySelector(":enabled");
  target?.focus();
}
