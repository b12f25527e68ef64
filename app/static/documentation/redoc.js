// Starts ReDoc on the local document.
(function () {
  "use strict";
  var place = document.getElementById("document");
  var options = { expandResponses: "200,201,202", hideDownloadButtons: true, nativeScrollbars: true, requiredPropsFirst: true };
  window.Redoc.init(place.dataset.address, options, place);
})();
