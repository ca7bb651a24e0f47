"""The web console: pages for people, made from the public API only.

How to add a screen:

1. Write ``pages/<screen>.py``: a module with a ``router``. A route takes ``visit: SignedIn``, or
   ``visit: Annotated[Visit, allowed(Role.HEAD)]``, calls the API with ``visit.api``, and returns
   ``visit.page("<screen>/<page>.html", ...)`` or, after a form,
   ``visit.go("/console/...", done="...")``. Read a form with ``await visit.form()``.
2. Put its templates into ``templates/<screen>/``. They extend ``layout.html`` and use the macros of ``parts.html``.
3. List the module in ``PAGES`` of ``main.py``, and add the screen to ``navigation.py``.
4. Translate its texts in ``locale/hi/console.po``; ``tests/unit/test_console_texts.py`` names those that are missing.
5. Add its address to ``SCREENS`` of ``tests/browser/screens.py``, so that each role, theme and width is tested.
"""
