-- Return whether a spreadsheet program could read the text of a cell as a formula. Such text starts with a tab or line end; or, after
-- any spaces, quotes, control and invisible characters, with = + - @ or one of their wide, small or typographic forms.
-- All CSV and XLSX files prefix such text with an apostrophe. All services use this function. Source: OWASP, CSV Injection.
-- Plan: inlined. Most text starts with an ASCII letter or digit; one look-up in a hashed list decides these cases.
CREATE OR REPLACE FUNCTION looks_like_formula(cell text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ascii(cell) IN (
                    48,49,50,51,52,53,54,55,56,57,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,
                    97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120,121,122) THEN false
                ELSE cell ~ ('^(?:[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]*[\t\n\r]|[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5'
                          || '\u180b-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0'
                          || '\ufff9-\uffff"''`\u00ab\u00bb\u00b4\u2018-\u201f\u2032-\u2037\u2039\u203a\uff02\uff07\uff40]*'
                          || '[=+@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212-])') END
$$;
