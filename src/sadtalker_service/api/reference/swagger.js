// Shows /openapi.json with Swagger UI. The page contacts no other host, so the online validator is off too.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
