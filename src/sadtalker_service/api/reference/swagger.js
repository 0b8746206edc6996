// Shows /openapi.json with Swagger UI. Nothing but this host is asked: no validator either.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
