// The field for an API key, shown when the service asks for one.

/** Resolve to the key that the user enters. `message` says why it is needed. */
export function askForKey(message) {
  const form = document.getElementById("key-form");
  const field = document.getElementById("api-key");
  form.hidden = false;
  document.getElementById("key-problem").textContent = message;
  field.value = "";
  field.focus();
  return new Promise((resolve) => {
    const taken = (event) => {
      event.preventDefault();
      form.hidden = true;
      resolve(field.value.trim());
    };
    form.addEventListener("submit", taken, { once: true });
  });
}
