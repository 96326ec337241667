"""One module per kind of figure; each class is a :class:`~nskd.report.document.Plot`."""
