// The service's endpoints. A failure of any kind becomes one Error whose message a reader can act on.

/** Asks each address once per instance, so that cards of one refresh share their answers. */
export class Api {
  #answers = new Map();

  /** Return the JSON of `path` with `parameters`; null ones are left out. */
  get(path, parameters = {}) {
    const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null));
    const address = query.size ? `${path}?${query}` : path;
    if (!this.#answers.has(address)) this.#answers.set(address, ask(address));
    return this.#answers.get(address);
  }
}

async function ask(address) {
  let response;
  try {
    response = await fetch(address, { headers: { Accept: "application/json, application/problem+json" } });
  } catch (error) {
    throw new Error("The analytics service cannot be reached. Is it still running?", { cause: error });
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(complaint(response.status, body));
  if (body === null) throw new Error(`The analytics service answered ${response.status} without JSON.`);
  return body;
}

/** The words of a problem document (RFC 9457), or the bare status where there is none. */
function complaint(status, problem) {
  return problem?.detail || problem?.title || `The analytics service answered with status ${status}.`;
}
