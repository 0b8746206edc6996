// What the service's engine can do: the form offers nothing else.

const TRY_MS = 3000;

/** Show the enhancers that there are; hide the field where there are none, and until that is known. */
export async function offerEnhancers(client, select, onKnown) {
  const field = select.closest("[data-field]");
  field.hidden = true;
  for (;;) {
    const { engine } = await client.json("/").catch(() => ({ engine: null }));
    if (engine) {
      for (const choice of [...select.options]) {
        if (choice.value !== "none" && !engine.enhancers.includes(choice.value)) choice.remove();
      }
      field.hidden = select.options.length < 2;
      onKnown();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, TRY_MS)); // no worker has loaded one yet
  }
}
