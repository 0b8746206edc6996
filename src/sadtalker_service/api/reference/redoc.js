// Shows /openapi.json with ReDoc. The search would need a worker made from a text, which the page's policy forbids.

Redoc.init("/openapi.json", { disableSearch: true }, document.getElementById("redoc"));
