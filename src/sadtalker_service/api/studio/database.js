// The browser's database: inputs of each tab, and videos that were made.

const NAME = "sadtalker-studio";
const VERSION = 2;
const TABLES = ["inputs", "videos"];

/** Return a table of the database. `mode` is `readonly` or `readwrite`. Rejects where storage is switched off. */
export async function opened(table, mode) {
  const request = indexedDB.open(NAME, VERSION);
  request.addEventListener("upgradeneeded", () => {
    const { result } = request;
    for (const name of TABLES) if (!result.objectStoreNames.contains(name)) result.createObjectStore(name);
  });
  const database = await done(request);
  database.addEventListener("versionchange", () => database.close()); // a newer page in another tab
  const transaction = database.transaction(table, mode);
  transaction.addEventListener("complete", () => database.close());
  return transaction.objectStore(table);
}

/** Resolve to the result of a request to the database. */
export function done(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}
