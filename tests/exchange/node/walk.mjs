// Answers questions about XState machines, one JSON text a line: what becomes of them when events are fired.

import { createInterface } from "node:readline";
import { createMachine, initialTransition, transition } from "xstate";

/** Give the machine of a configuration; its guards agree while their names are in `agreeing`. */
function machineOf(config, guards, agreeing) {
  return createMachine(config, {
    guards: Object.fromEntries(guards.map((name) => [name, () => agreeing.has(name)])),
  });
}

/** Give the next snapshot, and its state with the actions that were called; "" where nothing has happened. */
function fired(machine, snapshot, event) {
  const [next, actions] = transition(machine, snapshot, { type: event });
  const called = actions.map((action) => action.type);
  const idle = next.value === snapshot.value && called.length === 0;
  return [next, idle ? "" : [next.value, ...called].join(" ")];
}

/** Give what is reached by each sequence of events in which each does something. Snapshots never change. */
function walk({ machine: config, guards, agreeing, events, length }) {
  const machine = machineOf(config, guards, new Set(agreeing));
  const reached = {};
  const below = (path, snapshot) => {
    for (const event of events) {
      const [next, outcome] = fired(machine, snapshot, event);
      if (outcome) {
        const longer = [...path, event];
        reached[longer.join(" ")] = outcome;
        if (longer.length < length) below(longer, next);
      }
    }
  };
  below([], initialTransition(machine)[0]);
  return reached;
}

/** Run every single sequence; give how many they are, and some of those that do not do what `reached` tells. */
function every({ machine: config, guards, agreeing, events, length, reached }) {
  const machine = machineOf(config, guards, new Set(agreeing));
  let sequences = 0;
  const wrong = [];
  const below = (depth, path, snapshot) => {
    for (const event of events) {
      const [next, outcome] = fired(machine, snapshot, event);
      const longer = path ? `${path} ${event}` : event;
      sequences += 1;
      if (outcome !== (reached[longer] ?? "") && wrong.length < 5) wrong.push([longer, outcome]);
      if (depth < length) below(depth + 1, outcome ? longer : path, next);
    }
  };
  below(1, "", initialTransition(machine)[0]);
  return { sequences, wrong };
}

/** Give what each event does in turn, while the guards change. */
function follow({ machine: config, guards, rounds }) {
  const agreeing = new Set();
  const machine = machineOf(config, guards, agreeing);
  let [snapshot] = initialTransition(machine);
  return rounds.map(([event, now]) => {
    agreeing.clear();
    now.forEach((name) => agreeing.add(name));
    const [next, outcome] = fired(machine, snapshot, event);
    snapshot = next;
    return outcome;
  });
}

const questions = { walk, every, follow };
for await (const line of createInterface({ input: process.stdin })) {
  const { question, ...rest } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(questions[question](rest))}\n`);
}
