// Shows /openapi.json with ReDoc. Its search needs a worker created from a string, which the CSP of the page forbids.

Redoc.init("/openapi.json", { disableSearch: true }, document.getElementById("redoc"));
