// Before anything is drawn: the theme somebody chose, else what the system says.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem('coldshelf-theme');
  } catch (e) { /* no storage: the system's */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
