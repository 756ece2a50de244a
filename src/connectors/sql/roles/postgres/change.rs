//! What is done to a PostgreSQL role: each change as a task for one database.
//!
//! Owns the statements. Each is a query that lets the server write the statement out of its catalog
//! (`format` with `%I` and `%L`), and each change ends with a look in the same transaction: what
//! should be gone and is not, rolls it back. Privileges that a third role granted are revoked in
//! that role's name, since nobody else can.

use super::super::super::render::Bound;
use super::super::settings::Roles;
use super::super::task::{Step, Task};
use super::held::{Attribute, Held};
use super::look::{OID, PIN, about};
use crate::connectors::{Change, RenderedRequest, WHOLE_ACCOUNT};

/// A database that holds something of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its object id.
    pub oid: u32,
    /// Its name; `None` for the one that the address names.
    pub name: Option<String>,
}

/// A change of one role.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What the manifest declares.
    pub roles: &'a Roles,
    /// What is asked.
    pub change: &'a Change,
    /// The role's object id.
    pub oid: u32,
}

/// Databases with their names, by id.
pub const DATABASES: &str = "SELECT b.datname::text AS name, b.datallowconn AS open, \
     b.datname = current_database() AS here FROM pg_database b WHERE b.oid = {oid}";

/// Databases that hold something of the role.
pub const HOLDING: &str = "SELECT DISTINCT d.dbid::text AS database FROM pg_shdepend d \
     WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = {oid} AND d.dbid <> 0 ORDER BY 1";

/// What is left of the role in this database, and of the whole server, besides what DROP OWNED takes.
const OWNED: &str = "SELECT c.relname || ' ' || d.objid AS left FROM pg_shdepend d \
     JOIN pg_class c ON c.oid = d.classid WHERE d.refclassid = 'pg_authid'::regclass \
     AND d.refobjid = {oid} AND d.deptype = 'o' \
     AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
     AND c.relname NOT IN ('pg_default_acl', 'pg_user_mapping')";

const HELD_HERE: &str = "SELECT c.relname || ' ' || d.objid AS left FROM pg_shdepend d \
     JOIN pg_class c ON c.oid = d.classid WHERE d.refclassid = 'pg_authid'::regclass \
     AND d.refobjid = {oid} \
     AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))";

const MAPPINGS: &str = "SELECT format('DROP USER MAPPING FOR %I SERVER %I', m.usename, m.srvname) \
     AS statement FROM pg_user_mappings m WHERE m.umuser = {oid} ORDER BY 1";

const MAPPINGS_LEFT: &str =
    "SELECT m.srvname::text AS left FROM pg_user_mappings m WHERE m.umuser = {oid}";

/// Since release 16 the same membership can be granted by several roles, each in its own name.
const MEMBERSHIP: &str = "SELECT format('REVOKE %I FROM %I', g.rolname, r.rolname) || \
     CASE WHEN current_setting('server_version_num')::int >= 160000 \
       THEN format(' GRANTED BY %I', b.rolname) ELSE '' END AS statement \
     FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member \
     LEFT JOIN pg_roles b ON b.oid = m.grantor \
     WHERE m.member = {oid} AND m.roleid = CAST(CAST($2 AS text) AS oid)";

const MEMBERSHIP_LEFT: &str = "SELECT g.rolname::text AS left FROM pg_auth_members m \
     JOIN pg_roles g ON g.oid = m.roleid \
     WHERE m.member = {oid} AND m.roleid = CAST(CAST($2 AS text) AS oid)";

/// Everything with an access list in this database and the server: catalog, object, owner, list,
/// and how REVOKE and ALTER DEFAULT PRIVILEGES call it.
const LISTS: &str = "\
     SELECT 'pg_class' AS catalog, c.relowner AS owner, c.relacl AS acl, format('REVOKE ALL ON %s %I.%I', \
       CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname) AS verb \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     UNION ALL SELECT 'pg_class', c.relowner, a.attacl, \
       format('REVOKE ALL (%I) ON TABLE %I.%I', a.attname, n.nspname, c.relname) \
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
       WHERE NOT a.attisdropped \
     UNION ALL SELECT 'pg_proc', p.proowner, p.proacl, \
       format('REVOKE ALL ON ROUTINE %s', p.oid::regprocedure) FROM pg_proc p \
     UNION ALL SELECT 'pg_namespace', n.nspowner, n.nspacl, format('REVOKE ALL ON SCHEMA %I', n.nspname) \
       FROM pg_namespace n \
     UNION ALL SELECT 'pg_database', b.datdba, b.datacl, format('REVOKE ALL ON DATABASE %I', b.datname) \
       FROM pg_database b \
     UNION ALL SELECT 'pg_tablespace', t.spcowner, t.spcacl, \
       format('REVOKE ALL ON TABLESPACE %I', t.spcname) FROM pg_tablespace t \
     UNION ALL SELECT 'pg_type', t.typowner, t.typacl, format('REVOKE ALL ON %s %s', \
       CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.oid::regtype) FROM pg_type t \
     UNION ALL SELECT 'pg_language', l.lanowner, l.lanacl, format('REVOKE ALL ON LANGUAGE %I', l.lanname) \
       FROM pg_language l \
     UNION ALL SELECT 'pg_foreign_data_wrapper', w.fdwowner, w.fdwacl, \
       format('REVOKE ALL ON FOREIGN DATA WRAPPER %I', w.fdwname) FROM pg_foreign_data_wrapper w \
     UNION ALL SELECT 'pg_foreign_server', s.srvowner, s.srvacl, \
       format('REVOKE ALL ON FOREIGN SERVER %I', s.srvname) FROM pg_foreign_server s \
     UNION ALL SELECT 'pg_largeobject', o.lomowner, o.lomacl, format('REVOKE ALL ON LARGE OBJECT %s', o.oid) \
       FROM pg_largeobject_metadata o \
     UNION ALL SELECT 'pg_default_acl', a.defaclrole, a.defaclacl, \
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s', o.rolname, \
         CASE WHEN n.nspname IS NULL THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END, \
         CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' \
           WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END) \
       FROM pg_default_acl a JOIN pg_roles o ON o.oid = a.defaclrole \
       LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace";

/// Settings have access lists since release 15.
const PARAMETERS: &str = "SELECT 'pg_parameter_acl' AS catalog, CAST(10 AS oid) AS owner, \
     p.paracl AS acl, format('REVOKE ALL ON PARAMETER %I', p.parname) AS verb FROM pg_parameter_acl p";

const PRIVILEGE_LEFT: &str = "SELECT c.relname || ' ' || d.objid AS left FROM pg_shdepend d \
     JOIN pg_class c ON c.oid = d.classid WHERE d.refclassid = 'pg_authid'::regclass \
     AND d.refobjid = {oid} AND d.deptype = 'a' AND c.relname = CAST($2 AS text) \
     AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))";

impl Target<'_> {
    /// Makes signing in impossible.
    pub fn disable(&self) -> (RenderedRequest, Task) {
        let (mut words, mut undone) = (Vec::new(), Vec::new());
        for column in &self.roles.disable {
            let (word, condition) = match column.as_str() {
                "rolconnlimit" => ("CONNECTION LIMIT 0", "r.rolconnlimit <> 0"),
                "rolvaliduntil" => (
                    "VALID UNTIL ''-infinity''",
                    "r.rolvaliduntil IS DISTINCT FROM '-infinity'",
                ),
                _ => ("NOLOGIN", "r.rolcanlogin"),
            };
            words.push(word);
            undone.push(condition);
        }
        let (words, undone) = (words.join(" "), undone.join(" OR "));
        let run = format!(
            "SELECT format('ALTER ROLE %I {words}', r.rolname) AS statement FROM pg_roles r \
             WHERE r.oid = {OID} AND ({undone})"
        );
        let left = format!(
            "SELECT 'the right to sign in' AS left FROM pg_roles r WHERE r.oid = {OID} AND ({undone})"
        );
        let writes: Vec<&str> = self.roles.disable.iter().map(String::as_str).collect();
        let steps = vec![self.run(&run), self.gone(&left)];
        self.task(&writes, format!("ALTER ROLE {words}"), None, steps)
    }

    /// Ends all sessions; what that came to is seen afterwards.
    pub fn end_sessions(&self) -> (RenderedRequest, Task) {
        let (rendered, mut task) = self.task(
            &["session"],
            "pg_terminate_backend".to_owned(),
            None,
            Vec::new(),
        );
        task.steps.push(Step::Run(about(
            "SELECT format('SELECT pg_terminate_backend(%s)', a.pid) AS statement \
             FROM pg_stat_activity a WHERE a.usesysid = {oid} AND a.pid <> pg_backend_pid()",
            self.oid,
        )));
        task.immediate = true;
        (rendered, task)
    }

    /// Takes a membership.
    pub fn membership(&self, role: u32) -> (RenderedRequest, Task) {
        let both = |sql: &str| Bound {
            values: vec![self.oid.to_string(), role.to_string()],
            ..about(sql, self.oid)
        };
        let steps = vec![
            Step::Run(both(MEMBERSHIP)),
            Step::Gone(both(MEMBERSHIP_LEFT)),
        ];
        self.task(&["membership"], format!("REVOKE role {role}"), None, steps)
    }

    /// Takes a power of the role itself.
    pub fn attribute(&self, attribute: Attribute) -> (RenderedRequest, Task) {
        let Attribute { column, word } = attribute;
        let run = format!(
            "SELECT format('ALTER ROLE %I NO{word}', r.rolname) AS statement FROM pg_roles r \
             WHERE r.oid = {OID} AND r.{column}"
        );
        let left =
            format!("SELECT '{word}' AS left FROM pg_roles r WHERE r.oid = {OID} AND r.{column}");
        let steps = vec![self.run(&run), self.gone(&left)];
        self.task(&[column], format!("ALTER ROLE NO{word}"), None, steps)
    }

    /// Takes the entries in access lists of one catalog.
    pub fn privilege(&self, database: &Database, catalog: &str) -> (RenderedRequest, Task) {
        let lists = if catalog == "pg_parameter_acl" {
            PARAMETERS
        } else {
            LISTS
        };
        // What a third role granted goes first and in its name, privilege by privilege: for somebody
        // who is not the owner the server takes ALL to mean every column as well, and refuses.
        let run = format!(
            "SELECT DISTINCT CASE WHEN h.own THEN h.verb || format(' FROM %I', h.grantee) \
               ELSE format('SET LOCAL ROLE %I; REVOKE ', h.grantor) || h.privilege \
                 || substr(h.verb, length('REVOKE ALL') + 1) || format(' FROM %I; RESET ROLE', h.grantee) \
               END AS statement, h.own \
             FROM (SELECT o.verb, r.rolname AS grantee, t.rolname AS grantor, g.privilege_type AS privilege, \
                 g.grantor = o.owner OR o.catalog = 'pg_default_acl' AS own \
               FROM ({lists}) AS o, aclexplode(o.acl) AS g, pg_roles r, pg_roles t \
               WHERE o.catalog = CAST($2 AS text) AND g.grantee = {OID} AND r.oid = g.grantee \
                 AND o.owner <> g.grantee AND t.oid = g.grantor) AS h \
             ORDER BY h.own, statement"
        );
        let both = |sql: &str| Bound {
            values: vec![self.oid.to_string(), catalog.to_owned()],
            ..about(sql, self.oid)
        };
        let steps = vec![Step::Run(both(&run)), Step::Gone(both(PRIVILEGE_LEFT))];
        let line = format!(
            "REVOKE ALL privileges in {catalog} of database {}",
            database.oid
        );
        self.task(&["privilege"], line, database.name.clone(), steps)
    }

    /// Gives what the role owns in one database to the successor.
    pub fn owner(&self, database: &Database, successor: &str) -> (RenderedRequest, Task) {
        let steps = vec![self.reassign(successor), self.gone(OWNED)];
        let line = format!("REASSIGN OWNED in database {}", database.oid);
        self.task(&["owner"], line, database.name.clone(), steps)
    }

    /// Takes the passwords for foreign servers.
    pub fn mapping(&self, database: &Database) -> (RenderedRequest, Task) {
        let steps = vec![self.run(MAPPINGS), self.gone(MAPPINGS_LEFT)];
        let line = format!("DROP USER MAPPING in database {}", database.oid);
        self.task(&["mapping"], line, database.name.clone(), steps)
    }

    /// Frees one database of the role before it is dropped.
    pub fn free(&self, database: &Database, successor: &str) -> (RenderedRequest, Task) {
        let mut steps = self.freeing(successor);
        steps.push(self.gone(HELD_HERE));
        let line = format!("REASSIGN OWNED, DROP OWNED in database {}", database.oid);
        self.task(&[WHOLE_ACCOUNT], line, database.name.clone(), steps)
    }

    /// Drops the role, with what it holds of the server and of the database of the address.
    pub fn drop(&self, successor: &str) -> (RenderedRequest, Task) {
        let mut steps = self.freeing(successor);
        let run = format!(
            "SELECT format('DROP ROLE %I', r.rolname) AS statement FROM pg_roles r WHERE r.oid = {OID}"
        );
        let left = format!("SELECT 'the role' AS left FROM pg_roles r WHERE r.oid = {OID}");
        steps.extend([self.run(&run), self.gone(&left)]);
        let line = "REASSIGN OWNED, DROP OWNED, DROP ROLE".to_owned();
        self.task(&[WHOLE_ACCOUNT], line, None, steps)
    }

    /// DROP OWNED would drop objects, so there must be none left when it comes.
    fn freeing(&self, successor: &str) -> Vec<Step> {
        let run = format!(
            "SELECT format('DROP OWNED BY %I', r.rolname) AS statement FROM pg_roles r WHERE r.oid = {OID}"
        );
        vec![self.reassign(successor), self.gone(OWNED), self.run(&run)]
    }

    /// Only where something is owned, so that a repetition has nothing to do.
    fn reassign(&self, successor: &str) -> Step {
        let sql = format!(
            "SELECT format('REASSIGN OWNED BY %I TO %I', r.rolname, CAST($2 AS text)) AS statement \
             FROM pg_roles r WHERE r.oid = {OID} AND EXISTS (SELECT FROM ({OWNED}) AS o)"
        );
        Step::Run(Bound {
            values: vec![self.oid.to_string(), successor.to_owned()],
            ..about(&sql, self.oid)
        })
    }

    fn run(&self, sql: &str) -> Step {
        Step::Run(about(sql, self.oid))
    }

    fn gone(&self, sql: &str) -> Step {
        Step::Gone(about(sql, self.oid))
    }

    fn task(
        &self,
        writes: &[&str],
        line: String,
        database: Option<String>,
        steps: Vec<Step>,
    ) -> (RenderedRequest, Task) {
        let guarded = if self.roles.superusers {
            "false"
        } else {
            "r.rolsuper"
        };
        let who = format!(
            "SELECT r.rolname::text AS login, {guarded} AS guarded FROM pg_roles r WHERE r.oid = {OID} AND r.oid >= 16384"
        );
        let rendered = RenderedRequest {
            operation: Some(self.change.operation),
            account: Some(self.change.account.clone()),
            writes: writes.iter().map(ToString::to_string).collect(),
            line,
        };
        let task = Task {
            database,
            before: Bound::plain(PIN),
            who: about(&who, self.oid),
            login: self.change.login.clone(),
            steps,
            immediate: false,
        };
        (rendered, task)
    }
}

/// What an entitlement's id asks for, as far as the database matters.
pub fn database_of(held: &Held) -> Option<u32> {
    match held {
        Held::Privilege(database, _) | Held::Owner(database) | Held::Mapping(database) => {
            Some(*database)
        }
        Held::Membership(_) | Held::Inherited | Held::Attribute(_) => None,
    }
}
