"""The screens: one module each, with a ``router``. Listed here in the order in which their routes are tried."""

from services.console.pages import account, drive_form, drives, sign_in, today

PAGES = (sign_in, account, today, drives, drive_form)
