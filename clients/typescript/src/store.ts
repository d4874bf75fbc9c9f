/**
 * Where the session is kept. `localStorage` fits as it is, and so do React Native's AsyncStorage and secure stores with
 * these three names.
 */
export interface Store {
  getItem(name: string): string | null | Promise<string | null>;
  setItem(name: string, value: string): void | Promise<void>;
  removeItem(name: string): void | Promise<void>;
}

/** Keeps the session for as long as the program runs. */
export class MemoryStore implements Store {
  readonly #values = new Map<string, string>();
  getItem(name: string): string | null {
    return this.#values.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.#values.set(name, value);
  }
  removeItem(name: string): void {
    this.#values.delete(name);
  }
}

/** The browser's own store; memory where there is none, or where it may not be used. */
export function defaultStore(): Store {
  try {
    return globalThis.localStorage ?? new MemoryStore();
  } catch {
    return new MemoryStore();
  }
}

const turns = new WeakMap<Store, Promise<unknown>>();

/**
 * Does one thing at a time for all who share the store: within this program, and between the tabs of a browser that has
 * locks. Without those two tabs may do it at once, which the server allows for.
 */
export async function exclusively<T>(store: Store, name: string, act: () => Promise<T>): Promise<T> {
  const before = turns.get(store) ?? Promise.resolve();
  const locks = globalThis.navigator?.locks;
  const turn = before.then(async () => (locks ? ((await locks.request(name, act)) as T) : act()));
  turns.set(
    store,
    turn.catch(() => undefined),
  );
  return turn;
}
