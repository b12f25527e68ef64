// Starts Swagger UI on the local document. A logged-in person's requests carry the CSRF token of the page.
(function () {
  "use strict";
  var token = document.querySelector("meta[name=csrf-token]").content;
  var place = document.getElementById("document");

  function sign(request) {
    var isOurs = new URL(request.url, window.location.href).origin === window.location.origin;
    if (isOurs && !request.headers.Authorization) {
      request.headers["X-CSRFToken"] = token;
    }
    return request;
  }

  window.SwaggerUIBundle({
    url: place.dataset.address,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    requestInterceptor: sign,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
})();
