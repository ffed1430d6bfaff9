"""What is asked of the shape of a table (`ddl.Shape`): little where it is a plain one, as nearly all are.

To plan the whole question costs the server ten times what the short one does.
"""

from __future__ import annotations

__all__ = ["PLAIN", "WHOLE"]

_SAID = """
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod,
        a.attcollation, a.attidentity, a.atthasdef), E'\\n' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = {root} AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', i.indexrelid, i.indkey, i.indimmediate, i.indisvalid), E'\\n'
        ORDER BY i.indexrelid)
        FROM pg_catalog.pg_index i WHERE i.indrelid = {root} AND i.indisunique),
"""
"""The columns and the unique keys of the table `root`."""

_OF_PLAIN = """
    c.relfilenode::text,
    c.relkind <> 'r' OR c.relispartition OR c.relhassubclass OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity
FROM pg_catalog.pg_class c
WHERE c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = %s) AND c.relname = %s
"""
PLAIN = "SELECT c.oid," + _SAID.format(root="c.oid") + _OF_PLAIN
"""The first four columns of `WHOLE`, and whether the others may hold anything; a foreign key has triggers on both of its tables."""

_ROOTS = """
WITH RECURSIVE root(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
), tree(oid) AS (
    SELECT oid FROM root
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), refers(oid, late) AS (
    SELECT k.confrelid, k.condeferred AND 'r' NOT IN (k.confdeltype, k.confupdtype)  -- RESTRICT is judged at once
    FROM tree JOIN pg_catalog.pg_constraint k ON k.conrelid = tree.oid AND k.contype = 'f'
    UNION
    SELECT i.inhparent, refers.late FROM refers JOIN pg_catalog.pg_inherits i ON i.inhrelid = refers.oid
), secured(oid) AS (
    SELECT oid FROM root WHERE pg_catalog.row_security_active(oid)
), policies AS (
    SELECT p.* FROM pg_catalog.pg_policy p JOIN secured ON secured.oid = p.polrelid WHERE EXISTS (
        SELECT 1 FROM unnest(p.polroles) AS role(oid)
        WHERE role.oid = 0 OR pg_catalog.pg_has_role(role.oid, 'USAGE'))  -- 0: of all
)
SELECT (SELECT oid FROM root),"""
_EVERYTHING = """
    (SELECT pg_catalog.string_agg(c.relfilenode::text, ' ' ORDER BY c.oid)
        FROM pg_catalog.pg_class c JOIN tree ON tree.oid = c.oid),
    EXISTS (SELECT 1 FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN root ON root.oid <> c.oid
        WHERE NOT c.relispartition),
    ARRAY(SELECT oid::bigint FROM refers WHERE NOT late),
    ARRAY(SELECT oid::bigint FROM refers WHERE late),
    EXISTS (SELECT 1 FROM pg_catalog.pg_trigger r JOIN tree ON r.tgrelid = tree.oid
        WHERE r.tgisinternal AND r.tgconstrrelid <> 0 AND r.tgtype & 8 = 8),  -- 8: on delete, of a foreign key of another table
    ARRAY(SELECT r.rulename::text FROM pg_catalog.pg_rewrite r JOIN root ON r.ev_class = root.oid
        WHERE r.ev_type = '3' AND r.ev_enabled IN ('O', 'A') ORDER BY 1),  -- 3: on insert
    ARRAY(SELECT r.rulename::text FROM pg_catalog.pg_rewrite r JOIN root ON r.ev_class = root.oid
        WHERE r.ev_type = '2' ORDER BY 1),  -- on update; one that is disabled is in the way of ON CONFLICT as well
    ARRAY(SELECT p.polname::text FROM policies p WHERE p.polcmd IN ('w', 'd', '*') ORDER BY 1),
    EXISTS (SELECT 1 FROM secured) AND (
        EXISTS (SELECT 1 FROM policies p WHERE p.polcmd IN ('r', '*') AND NOT p.polpermissive)
        OR NOT EXISTS (SELECT 1 FROM policies p WHERE p.polcmd IN ('r', '*') AND p.polpermissive
            AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true')),
    EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN tree ON g.tgrelid = tree.oid JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid
        JOIN pg_catalog.pg_language l ON l.oid = f.prolang
        WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 = 4  -- on insert
        AND (l.lanname NOT IN ('sql', 'plpgsql') OR f.prosrc ~* '\\m(execute|perform)\\M' OR EXISTS (
            SELECT 1 FROM tree part JOIN pg_catalog.pg_class c ON c.oid = part.oid JOIN root ON root.oid <> c.oid
            WHERE pg_catalog.strpos(pg_catalog.lower(f.prosrc), pg_catalog.lower(c.relname::text)) > 0))),
    COALESCE(bool_or(t.tgtype & 3 = 3), false),  -- 1: for each row, 2: before
    COALESCE(bool_or(t.tgtype & 66 = 0), false),  -- 64: instead of
    COALESCE(bool_or(t.tgdeferrable), false),
    COALESCE(bool_or(t.tgtype & 19 = 19 AND p.prosrc ~* '\\mold\\M'), false)  -- 16: on update
FROM pg_catalog.pg_trigger t JOIN tree ON t.tgrelid = tree.oid JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
_ROOT = "(SELECT oid FROM root)"
WHOLE = _ROOTS + _SAID.format(root=_ROOT) + _EVERYTHING
