"""The kinds of service that ctl can run: how each is laid out, started and asked whether it answers.

Each planner takes (home, options, port) and returns the plan that ctl keeps in NAME.json: `argv`,
`env` (what callers may read), and where needed `user`, `cwd`, `environ`, `stop`, `outside`.
Knows nothing about processes; that is ctl.
"""
import base64
import glob
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import struct
import subprocess
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.environ.get("CLAWBACK_TEST_TOOLS") or os.path.join(ROOT, "target", "tools")


class Failure(Exception):
    """Something that the caller must read; printed without a traceback."""


def identity(user):
    """Arguments for subprocess to run as another user; none to stay as we are."""
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def run(argv, user=None, cwd=None, **more):
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=cwd, stdin=None if "input" in more else subprocess.DEVNULL,
        **identity(user), **more,
    )
    if done.returncode != 0:
        raise Failure(f"{os.path.basename(argv[0])} failed: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


# --- PostgreSQL -------------------------------------------------------------------------------

def postgres_bin():
    """The newest server on this machine, by version number: 9.6 is older than 15."""
    def version(path):
        return [int(part) for part in path.split("/")[-2].split(".") if part.isdigit()]

    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version, reverse=True)
    found += [p for p in (os.environ.get("PG_BIN"), *os.environ["PATH"].split(os.pathsep)) if p]
    for folder in ([os.environ["PG_BIN"]] if os.environ.get("PG_BIN") else found):
        folder = os.path.dirname(os.path.realpath(os.path.join(folder, "postgres")))
        if os.path.exists(os.path.join(folder, "postgres")) and os.path.exists(os.path.join(folder, "initdb")):
            return folder
    raise Failure("PostgreSQL server binaries not found (postgres, initdb): install postgresql")


def unprivileged():
    """PostgreSQL refuses to run as root, so there it runs as somebody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    raise Failure("running as root, and there is neither a user 'postgres' nor 'nobody' to run PostgreSQL as")


def reachable(user, path):
    """Whether that user can get to a path at all: a checkout under /root is closed to others."""
    return user is None or subprocess.run(
        ["test", "-x", path], check=False, cwd="/", **identity(user)).returncode == 0


def plan_postgres(home, options, port):
    bin_dir, user, outside = postgres_bin(), unprivileged(), None
    if not reachable(user, home):
        outside = home = tempfile.mkdtemp(prefix="clawback-postgres-")
    if user:
        shutil.chown(home, user)
    data, password, number = os.path.join(home, "data"), os.path.join(home, "password"), port()
    write(password, "postgres\n")
    run([f"{bin_dir}/initdb", "-D", data, "-U", "postgres", "--pwfile", password, "-A", "scram-sha-256",
         "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"], user, home)
    settings = {
        "listen_addresses": "127.0.0.1", "port": number, "unix_socket_directories": "", "max_connections": 200,
        # mmap: what a killed server leaves behind lies in its own directory, not in /dev/shm.
        "dynamic_shared_memory_type": "mmap", "fsync": "on", "shared_buffers": "128MB", "log_min_messages": "warning", **dict(options),
    }
    lines = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
    run(["tee", "-a", os.path.join(data, "postgresql.conf")], user, home, input=lines)
    # Two roles: an ordinary one as a product would have it, and the superuser for estates that
    # need roles of their own. Passwords are checked, so that tests can let one expire.
    run([f"{bin_dir}/postgres", "--single", "-D", data, "postgres"], user, home, input=(
        "CREATE ROLE clawback LOGIN CREATEDB CREATEROLE PASSWORD 'clawback'\n"
        # A forced drop of a database ends whoever works in it, an autovacuum worker among them.
        "GRANT pg_signal_backend TO clawback\n"
        "CREATE DATABASE clawback OWNER clawback\n"))
    return {
        "argv": [f"{bin_dir}/postgres", "-D", data], "user": user, "cwd": home, "stop": "SIGINT", "outside": outside,
        "env": {
            "HOST": "127.0.0.1", "PORT": number, "DATA": data, "BIN": bin_dir,
            "URL": f"postgres://clawback:clawback@127.0.0.1:{number}/clawback",
            "ADMIN_URL": f"postgres://postgres:postgres@127.0.0.1:{number}/postgres",
        },
    }


def ready_postgres(state):
    env = state["env"]
    return subprocess.run([f"{env['BIN']}/pg_isready", "-q", "-h", env["HOST"], "-p", str(env["PORT"]), "-t", "1"],
                          check=False).returncode == 0


# --- Apache Kafka -----------------------------------------------------------------------------

def plan_kafka(home, options, port):
    libs, java = os.path.join(TOOLS, "kafka", "libs"), shutil.which("java")
    if not java:
        raise Failure("java not found: install a Java 17 runtime")
    if not glob.glob(os.path.join(libs, "kafka_*.jar")):
        raise Failure(f"Apache Kafka's jars are not in {libs}: scripts/test fetches them")
    broker, controller, properties = port(), port(), os.path.join(home, "server.properties")
    settings = {
        "process.roles": "broker,controller", "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "controller.listener.names": "CONTROLLER", "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": os.path.join(home, "data"), "num.partitions": 8, "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1, "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 1, "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1, "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1, "share.coordinator.state.topic.min.isr": 1,
        # A test must not wait three seconds for a group of one, nor six for a killed member.
        "group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 500,
        # A crowded machine is slow, not broken: no fencing and no giving up while it is.
        "broker.session.timeout.ms": 60000, "initial.broker.registration.timeout.ms": 180000,
        "controller.quorum.request.timeout.ms": 20000,
        # Idle is idle: few no-op records and few threads.
        "metadata.max.idle.interval.ms": 5000, "num.network.threads": 2, "num.io.threads": 4, "background.threads": 2,
        # Nobody else to hand leadership to: without this a stop waits for a second broker.
        "controlled.shutdown.enable": "false", **dict(options),
    }
    secured = secure(home, settings, port()) if settings.pop("tls", "off") == "on" else {}
    write(properties, "".join(f"{key}={value}\n" for key, value in settings.items()))
    jvm = [java, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData",
           "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={HERE}/kafka/log4j2.properties",
           "-cp", os.path.join(libs, "*")]
    format_kafka(jvm, properties, settings["log.dirs"])
    return {
        "argv": [*jvm, "kafka.Kafka", properties], "cwd": home,
        "env": {"HOST": "127.0.0.1", "PORT": broker, "URL": f"127.0.0.1:{broker}",
                "DATA": os.path.join(home, "data"), **secured},
    }


def format_kafka(jvm, properties, data):
    """Formatting starts a Java machine of its own, so it is done once and its result is copied."""
    formatted = os.path.join(TOOLS, "kafka", "formatted")
    if not os.path.isdir(formatted):
        run([*jvm, "kafka.tools.StorageTool", "format", "-t", "Q2xhd2JhY2tUZXN0cyEhIQ", "-c", properties])
        made = tempfile.mkdtemp(dir=os.path.dirname(formatted))
        shutil.copytree(data, made, dirs_exist_ok=True)
        try:
            os.rename(made, formatted)
        except OSError:  # somebody else was faster
            shutil.rmtree(made)
    else:
        shutil.copytree(formatted, data)


def secure(home, settings, port):
    """A second listener, with TLS and SASL PLAIN, for tests that the product's settings reach librdkafka."""
    if not shutil.which("openssl"):
        raise Failure("openssl not found: tls=on makes a certificate with it")
    key, ca, both = (os.path.join(home, f"{name}.pem") for name in ("key", "ca", "broker"))
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", ca], None, home)
    with open(key, encoding="utf-8") as first, open(ca, encoding="utf-8") as second:
        write(both, first.read() + second.read(), 0o600)
    for name in ("listeners", "advertised.listeners"):
        settings[name] += f",SECURED://127.0.0.1:{port}"
    settings["listener.security.protocol.map"] += ",SECURED:SASL_SSL"
    settings.update({
        "ssl.keystore.type": "PEM", "ssl.keystore.location": both, "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config":
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_clawback="broker-password";',
    })
    return {"TLS_URL": f"127.0.0.1:{port}", "CA": ca, "SASL_MECHANISM": "PLAIN", "SASL_USER": "clawback",
            "SASL_PASSWORD": "broker-password"}


def ready_kafka(state):
    """Asks for metadata (key 3, version 4) as any client does: ready is when a broker is listed."""
    client = b"ctl"
    body = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection(("127.0.0.1", state["env"]["PORT"]), timeout=2) as peer:
            peer.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < 16:
                part = peer.recv(4096)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    _, correlation, _, brokers = struct.unpack(">iiii", answer[:16])
    return correlation == 1 and brokers >= 1


# --- Keycloak ---------------------------------------------------------------------------------

def plan_keycloak(home, _options, port):
    """The distribution of Keycloak, built once where it lies, with a home and a database of its own."""
    tools, java = os.path.join(TOOLS, "keycloak"), shutil.which("java")
    if not java:
        raise Failure("java not found: install a Java 17 runtime")
    if not os.path.exists(os.path.join(tools, "lib", "quarkus", "quarkus-application.dat")):
        raise Failure(f"Keycloak is not in {tools}, or not built: scripts/test fetches and builds it")
    # Its home is where its data lie; what it only reads is shared.
    for part in ("lib", "conf", "providers", "themes"):
        os.symlink(os.path.join(tools, part), os.path.join(home, part))
    number = port()
    program = [
        java, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError", "-Dfile.encoding=UTF-8", "-Djava.awt.headless=true",
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager", "-Dpicocli.disable.closures=true",
        *(f"--add-opens=java.base/java.util{part}=ALL-UNNAMED" for part in ("", ".concurrent")),
        "--add-opens=java.base/java.security=ALL-UNNAMED",
        f"-Dkc.home.dir={home}", f"-Djboss.server.config.dir={home}/conf",
        "-cp", os.path.join(home, "lib", "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
    ]
    initialize_keycloak(program, home)
    url = f"http://127.0.0.1:{number}"
    return {
        "argv": [*program, "start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={number}",
                 "--hostname-strict=false", "--cache=local"],
        "cwd": home,
        "env": {"HOST": "127.0.0.1", "PORT": number, "URL": url, "ADMIN": "admin", "ADMIN_PASSWORD": KEYCLOAK_PASSWORD,
                "TOKEN_URL": f"{url}/realms/master/protocol/openid-connect/token"},
    }


KEYCLOAK_PASSWORD = "admin-password"


def initialize_keycloak(program, home):
    """The schema and the first administrator take half a minute, so they are made once and copied."""
    made = os.path.join(TOOLS, "keycloak", "initialized")
    data = os.path.join(home, "data")
    if os.path.isdir(made):
        shutil.copytree(made, data)
        return
    run([*program, "bootstrap-admin", "user", "--optimized", "--username", "admin", "--password:env", "FIRST_PASSWORD"],
        None, home, env={**os.environ, "FIRST_PASSWORD": KEYCLOAK_PASSWORD})
    copy = tempfile.mkdtemp(dir=os.path.dirname(made))
    shutil.copytree(data, copy, dirs_exist_ok=True)
    try:
        os.rename(copy, made)
    except OSError:  # somebody else was faster
        shutil.rmtree(copy)


def ready_keycloak(state):
    return answers(f"{state['env']['URL']}/realms/master/.well-known/openid-configuration")


# --- scim2-server -----------------------------------------------------------------------------

def plan_scim(home, options, port):
    program, number = os.path.join(TOOLS, "venv", "bin", "scim2-server"), port()
    if not os.path.exists(program):
        raise Failure(f"scim2-server is not in {os.path.dirname(program)}: scripts/test installs it")
    given = dict(options)
    writer, verifier = (given.get(f"{who}_token") or f"{who}-{secrets.token_hex(12)}" for who in ("writer", "verifier"))
    argv = [program, "--hostname", "127.0.0.1", "--port", str(number)]
    for token in (writer, verifier, *(value for key, value in options if key == "token")):
        argv += ["--bearer-token", token]
    if "service_provider_config" in given:
        argv += ["--service-provider-config", os.path.abspath(given["service_provider_config"])]
    return {"argv": argv, "cwd": home, "env": {
        "HOST": "127.0.0.1", "PORT": number, "URL": f"http://127.0.0.1:{number}/v2",
        "WRITER_TOKEN": writer, "VERIFIER_TOKEN": verifier,
    }}


def answers(url, headers=None, expect=200):
    request = urllib.request.Request(url, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, never through a proxy
    try:
        with opener.open(request, timeout=2) as response:
            return response.status == expect
    except urllib.error.HTTPError as error:
        return error.code == expect
    except OSError:
        return False


def ready_scim(state):
    env = state["env"]
    return answers(f"{env['URL']}/Users?count=0", {"Authorization": f"Bearer {env['WRITER_TOKEN']}"}) and answers(
        f"{env['URL']}/Users?count=0", expect=401)


# --- nginx ------------------------------------------------------------------------------------

NGINX = """daemon off;
{user}worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {home}/tmp; proxy_temp_path {home}/tmp; fastcgi_temp_path {home}/tmp;
  uwsgi_temp_path {home}/tmp; scgi_temp_path {home}/tmp;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "up\\n"; }}
    location /private/ {{
      auth_basic "private";
      auth_basic_user_file {htpasswd};
      alias {home}/private/;
    }}
  }}
}}
"""


def ssha(password):
    salt = secrets.token_bytes(8)
    digest = hashlib.sha1(password.encode() + salt).digest()  # the format that nginx reads, not a choice of ours
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def plan_nginx(home, options, port):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if not program:
        raise Failure("nginx not found: install nginx-light")
    number, htpasswd = port(), os.path.join(home, "htpasswd")
    users = [value.partition(":")[::2] for key, value in options if key == "user"]
    users = users or [("ada", "ada-password"), ("grace", "grace-password"), ("nightly-backup", "backup-password")]
    write(htpasswd, "# who may read /private/; kept by the platform team\n"
          + "".join(f"{name}:{ssha(password)}\n" for name, password in users), 0o640)
    for folder in ("tmp", "private"):
        os.makedirs(os.path.join(home, folder))
    write(os.path.join(home, "private", "index.html"), "private page\n")
    # The worker process opens the password file at each request; under root it stays root,
    # because the file lies where only the caller can read.
    write(os.path.join(home, "nginx.conf"), NGINX.format(
        home=home, port=number, htpasswd=htpasswd, user="user root;\n" if os.geteuid() == 0 else ""))
    url = f"http://127.0.0.1:{number}"
    return {
        "argv": [program, "-p", home, "-c", os.path.join(home, "nginx.conf"), "-e", os.path.join(home, "error.log")],
        "cwd": home, "stop": "SIGQUIT",
        "env": {"HOST": "127.0.0.1", "PORT": number, "URL": url, "PRIVATE_URL": f"{url}/private/",
                "HTPASSWD": htpasswd, "USERS": ",".join(f"{name}:{password}" for name, password in users)},
    }


def ready_nginx(state):
    return answers(state["env"]["URL"]) and answers(state["env"]["PRIVATE_URL"], expect=401)


# --- slapd (OpenLDAP) --------------------------------------------------------------------------

SLAPD = """{schemas}
{modules}
attributetype ( 1.3.6.1.4.1.24552.500.1.1.1.13 NAME 'sshPublicKey'
  EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.3.6.1.4.1.24552.500.1.1.2.0 NAME 'ldapPublicKey' SUP top AUXILIARY
  MAY ( sshPublicKey $ uid ) )
pidfile {home}/slapd.pid
TLSCertificateFile {home}/server.pem
TLSCertificateKeyFile {home}/server.key
sizelimit unlimited
database mdb
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw {password}
directory {home}/data
index entryUUID,uid,member eq
limits dn.exact="cn=limited,ou=services,{base}" size.soft=3 size.hard=3 size.prtotal=hard
overlay ppolicy
ppolicy_default "cn=default,ou=policies,{base}"
ppolicy_use_lockout
access to attrs=userPassword
  by dn.exact="cn=rotator,ou=services,{base}" write
  by anonymous auth
  by * none
access to *
  by dn.exact="cn=writer,ou=services,{base}" write
  by dn.children="ou=services,{base}" read
  by * none
"""

# What every test finds; tests add branches of their own beside it.
DIRECTORY = """dn: {base}
objectClass: domain
dc: acme

dn: ou=policies,{base}
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,{base}
objectClass: organizationalRole
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE

dn: ou=services,{base}
objectClass: organizationalUnit
ou: services
"""

SERVICE = """
dn: cn={name},ou=services,{base}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: {name}
userPassword: {name}-password
"""


def plan_slapd(home, options, port):
    path = os.environ["PATH"] + ":/usr/sbin:/usr/libexec:/usr/local/libexec"
    program, load = shutil.which("slapd", path=path), shutil.which("slapadd", path=path)
    schemas = next((d for d in ("/etc/ldap/schema", "/etc/openldap/schema") if os.path.isdir(d)), None)
    if not program or not load or not schemas:
        raise Failure("slapd, slapadd or OpenLDAP's schemas not found: install slapd")
    if not shutil.which("openssl"):
        raise Failure("openssl not found: slapd's certificate is made with it")
    base, password, plain, tls = "dc=acme,dc=example", "admin-password", port(), port()
    os.makedirs(os.path.join(home, "data"))
    certify(home)
    libraries = next((d for d in ("/usr/lib/ldap", "/usr/lib64/openldap") if os.path.isdir(d)), None)
    modules = [f"moduleload {name}" for name in ("back_mdb", "ppolicy")
               if libraries and glob.glob(os.path.join(libraries, f"{name}.*"))]
    if modules:
        modules.insert(0, f"modulepath {libraries}")
    names = ("core", "cosine", "inetorgperson", "nis")
    config, first = os.path.join(home, "slapd.conf"), os.path.join(home, "first.ldif")
    write(config, SLAPD.format(
        home=home, base=base, password=password, modules="\n".join(modules),
        schemas="\n".join(f"include {schemas}/{name}.schema" for name in names)), 0o600)
    services = ("writer", "verifier", "rotator", "limited", *(value for key, value in options if key == "service"))
    write(first, DIRECTORY.format(base=base) + "".join(SERVICE.format(name=name, base=base) for name in services))
    run([load, "-f", config, "-l", first], None, home)
    urls = [f"ldap://127.0.0.1:{plain}", f"ldaps://127.0.0.1:{tls}"]
    return {
        "argv": [program, "-f", config, "-h", f"{urls[0]}/ {urls[1]}/", "-d", "0"], "cwd": home, "stop": "SIGINT",
        "env": {"HOST": "127.0.0.1", "PORT": plain, "URL": urls[0], "TLS_URL": urls[1], "CA": os.path.join(home, "ca.pem"),
                "BASE": base, "ADMIN": f"cn=admin,{base}", "ADMIN_PASSWORD": password},
    }


def certify(home):
    """An authority and a server certificate below it: a client that is strict takes no other."""
    def at(name):
        return os.path.join(home, name)

    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test authority",
         "-keyout", at("ca.key"), "-out", at("ca.pem")], None, home)
    run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-keyout", at("server.key"), "-out", at("server.csr")], None, home)
    write(at("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    run(["openssl", "x509", "-req", "-days", "30", "-in", at("server.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
         "-CAcreateserial", "-extfile", at("server.ext"), "-out", at("server.pem")], None, home)


def ready_slapd(state):
    """Signs in as nobody (RFC 4511 section 4.2): ready is when that is answered."""
    try:
        with socket.create_connection(("127.0.0.1", state["env"]["PORT"]), timeout=2) as peer:
            peer.settimeout(2)
            peer.sendall(bytes.fromhex("300c020101600702010304008000"))
            answer = peer.recv(64)
    except OSError:
        return False
    return len(answer) > 5 and answer[0] == 0x30 and answer[5] == 0x61


# --- MariaDB ----------------------------------------------------------------------------------

def mariadb_program(name):
    path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
    program = shutil.which(name, path=path)
    if not program:
        raise Failure(f"{name} not found: install mariadb-server")
    return program


def plan_mariadb(home, options, port):
    server, install = mariadb_program("mariadbd"), mariadb_program("mariadb-install-db")
    user, outside, number = unprivileged_mariadb(), None, port()
    if not reachable(user, home):
        outside = home = tempfile.mkdtemp(prefix="clawback-mariadb-")
    if user:
        shutil.chown(home, user)
    data, start = os.path.join(home, "data"), os.path.join(home, "start.sql")
    # A socket's path may not be long, and a checkout's may: there is none.
    settings = {
        "datadir": data, "bind-address": "127.0.0.1", "port": number, "socket": "", "pid-file": os.path.join(home, "pid"),
        "max-connections": 200, "innodb-buffer-pool-size": "64M", "innodb-log-file-size": "16M", "skip-name-resolve": 1,
        "init-file": start, **dict(options),
    }
    write(start, "CREATE USER IF NOT EXISTS clawback@'127.0.0.1' IDENTIFIED BY 'clawback';\n"
          "GRANT ALL PRIVILEGES ON *.* TO clawback@'127.0.0.1' WITH GRANT OPTION;\n")
    run([install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db",
         "--skip-name-resolve"], user, home)
    argv = [server, "--no-defaults", *(f"--{key}={value}" for key, value in settings.items())]
    return {
        "argv": argv, "user": user, "cwd": home, "outside": outside,
        "env": {"HOST": "127.0.0.1", "PORT": number, "DATA": data,
                "ADMIN_URL": f"mariadb://clawback:clawback@127.0.0.1:{number}"},
    }


def unprivileged_mariadb():
    """MariaDB refuses to run as root as well."""
    if os.geteuid() != 0:
        return None
    for name in ("mysql", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    raise Failure("running as root, and there is neither a user 'mysql' nor 'nobody' to run MariaDB as")


def ready_mariadb(state):
    """The server speaks first: protocol version 10 in the first packet, or 255 for an error."""
    try:
        with socket.create_connection(("127.0.0.1", state["env"]["PORT"]), timeout=2) as peer:
            greeting = peer.recv(64)
    except OSError:
        return False
    return len(greeting) > 4 and greeting[4] == 10


# --- Canaille: an identity server with OAuth 2.0 and a JSON API, which nobody here wrote --------

def plan_canaille(home, options, port):
    program, number = os.path.join(TOOLS, "canaille", "bin", "canaille"), port()
    if "redirect_uri" in dict(options):
        return plan_provider(home, options, program, number)
    if not os.path.exists(program):
        raise Failure(f"canaille is not in {os.path.dirname(program)}: scripts/test installs it")
    given = dict(options)
    config = os.path.join(home, "config.toml")
    write(config, f'''SECRET_KEY = "{secrets.token_hex(16)}"
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{home}/canaille.sqlite"
[CANAILLE_OIDC]
''')
    environ = {**os.environ, "CONFIG": config}
    run([program, "install"], None, home, env=environ)
    values = {}
    for name in ("writer", "verifier"):
        secret = given.get(f"{name}_secret") or secrets.token_hex(12)
        run([program, "create", "client", "--quiet", "--client-name", name, "--client-id", name,
             "--client-secret", secret, "--token-endpoint-auth-method", "client_secret_basic",
             "--grant-types", "client_credentials", "--scope", "profile"], None, home, env=environ)
        values[f"{name.upper()}_SECRET"] = secret
    people = given.get("people", "")
    if people:
        values["PORTAL_SECRET"] = with_people(program, home, environ, people.split(","))
    url = f"http://127.0.0.1:{number}"
    return {"argv": [program, "run", "--bind", f"127.0.0.1:{number}"], "cwd": home, "environ": {"CONFIG": config}, "env": {
        "HOST": "127.0.0.1", "PORT": number, "URL": f"{url}/scim/v2", "TOKEN_URL": f"{url}/oauth/token", **values,
    }}


def with_people(program, home, environ, people):
    """People with passwords (NAME:PASSWORD), and a client that they sign in by and that may look at its tokens."""
    secret = secrets.token_hex(12)
    run([program, "create", "client", "--quiet", "--client-name", "portal", "--client-id", "portal",
         "--client-secret", secret, "--token-endpoint-auth-method", "client_secret_basic", "--grant-types", "password",
         "--grant-types", "refresh_token", "--scope", "profile"], None, home, env=environ)
    run([program, "set", "client", "portal", "--quiet", "--audience", "portal"], None, home, env=environ)
    for person in people:
        name, password = person.split(":", 1)
        run([program, "create", "user", "--quiet", "--user-name", name, "--formatted-name", name, "--family-name", name,
             "--emails", f"{name}@acme.example", "--password", password], None, home, env=environ)
    return secret


def plan_provider(home, options, program, number):
    """Canaille as an identity provider: users in groups, and a client that signs them in."""
    if not os.path.exists(program):
        raise Failure(f"canaille is not in {os.path.dirname(program)}: scripts/test installs it")
    given = dict(options)
    make = ("import json; from joserfc.jwk import RSAKey; key = RSAKey.generate_key(2048, parameters="
            "{'kid': 'one', 'use': 'sig', 'alg': 'RS256'}); print(json.dumps(key.as_dict(private=True)))")
    key = json.loads(run([os.path.join(os.path.dirname(program), "python"), "-c", make]))
    key = ", ".join(f'{name} = "{value}"' for name, value in key.items() if isinstance(value, str))
    config, url = os.path.join(home, "canaille.toml"), f"http://127.0.0.1:{number}"
    write(config, f'''SECRET_KEY = "{secrets.token_hex(32)}"
SERVER_NAME = "127.0.0.1:{number}"
PREFERRED_URL_SCHEME = "http"
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{home}/canaille.sqlite"
[CANAILLE_OIDC]
ACTIVE_JWKS = [{{ {key} }}]
''')
    environ = {**os.environ, "CANAILLE_CONFIG": config}
    secret = secrets.token_hex(12)
    run([program, "install"], None, home, env=environ)
    groups = {}
    for name, value in options:
        if name == "user":
            login, password, group = value.split(":")
            run([program, "create", "user", "--quiet", "--user-name", login, "--password", password, "--family-name",
                 login.title(), "--display-name", login, "--formatted-name", f"{login.title()} by Provider", "--emails", f"{login}@acme.example"],
                None, home, env=environ)
            groups.setdefault(group, []).append(login)
    for group, members in groups.items():
        named = [part for member in members for part in ("--members", member)]
        run([program, "create", "group", "--quiet", "--display-name", group, *named], None, home, env=environ)
    run([program, "create", "client", "--quiet", "--client-name", "clawback", "--client-id", "clawback", "--client-secret", secret,
         "--token-endpoint-auth-method", "client_secret_basic", "--grant-types", "authorization_code", "--response-types", "code",
         "--redirect-uris", given["redirect_uri"], *[part for scope in ("openid", "profile", "email", "groups") for part in ("--scope", scope)]], None, home, env=environ)
    # Its ID tokens are for whoever is in its audience, and that is nobody unless it is said.
    run([program, "set", "client", "--quiet", "clawback", "--audience", "clawback"], None, home, env=environ)
    return {"argv": [program, "run", "--bind", f"127.0.0.1:{number}"], "cwd": home, "environ": {"CANAILLE_CONFIG": config}, "env": {
        "HOST": "127.0.0.1", "PORT": number, "URL": url, "ISSUER": url, "CLIENT_SECRET": secret,
    }}


def ready_canaille(state):
    url = state["env"]["URL"]
    if "ISSUER" in state["env"]:
        return answers(f"{url}/.well-known/openid-configuration")
    return answers(f"{url}/Users", expect=401)


# --- Request Tracker ---------------------------------------------------------------------------

RT = """Set($rtname, 'clawback');
Set($Organization, 'acme.example');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($WebPath, '');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{home}/rt.sqlite');
Set($MailCommand, 'testfile');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
Set($MasonDataDir, '{home}/mason');
Set($MasonSessionDir, '{home}/session');
1;
"""


def plan_rt(home, options, port):
    """Debian's request-tracker5 with a database and a configuration of its own; sends no mail."""
    share = "/usr/share/request-tracker5/libexec/rt-server"
    setup = shutil.which("rt-setup-database-5", path=os.environ["PATH"] + ":/usr/sbin")
    if not setup or not os.path.exists(share):
        raise Failure("Request Tracker not found: install request-tracker5, rt5-db-sqlite and rt5-standalone")
    number, config = port(), os.path.join(home, "RT_SiteConfig.pm")
    for folder in ("mason", "session", "conf.d"):
        os.makedirs(os.path.join(home, folder))
    write(config, RT.format(home=home, port=number))
    # The folder of further settings is named too: Debian's own would bring the system's database back.
    environ = {"RT_SITE_CONFIG": config, "RT_SITE_CONFIG_DIR": os.path.join(home, "conf.d")}
    run([setup, "--action", "init", "--skip-create"], None, home, env={**os.environ, **environ})
    return {
        "argv": ["perl", share, "--host", "127.0.0.1", "--port", str(number), "--max-workers", "3"], "cwd": home,
        "environ": environ, "stop": "SIGTERM",
        "env": {"HOST": "127.0.0.1", "PORT": number, "URL": f"http://127.0.0.1:{number}", "ROOT_PASSWORD": "password"},
    }


def ready_rt(state):
    """Answers who signs in, and nobody else."""
    env = state["env"]
    pair = base64.b64encode(f"root:{env['ROOT_PASSWORD']}".encode()).decode()
    url = f"{env['URL']}/REST/2.0/rt"
    return answers(url, {"Authorization": f"Basic {pair}"}) and answers(url, expect=401)


# --- moto: AWS IAM with authentication -----------------------------------------------------------

def plan_moto(home, _options, port):
    program, number = os.path.join(TOOLS, "moto", "bin", "moto_server"), port()
    if not os.path.exists(program):
        raise Failure(f"moto is not in {os.path.dirname(program)}: scripts/test installs it")
    # Nobody signs in until the caller says so at /moto-api/reset-auth: somebody must be there first.
    environ = {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000"}
    return {"argv": [program, "-H", "127.0.0.1", "-p", str(number)], "cwd": home, "environ": environ, "env": {
        "HOST": "127.0.0.1", "PORT": number, "URL": f"http://127.0.0.1:{number}",
    }}


def ready_moto(state):
    return answers(f"{state['env']['URL']}/moto-api/data.json", expect=200)


KINDS = {"postgres": plan_postgres, "mariadb": plan_mariadb, "kafka": plan_kafka, "scim": plan_scim,
         "canaille": plan_canaille, "moto": plan_moto, "nginx": plan_nginx, "slapd": plan_slapd,
         "rt": plan_rt, "keycloak": plan_keycloak}
READY = {"postgres": ready_postgres, "mariadb": ready_mariadb, "kafka": ready_kafka, "scim": ready_scim,
         "canaille": ready_canaille, "moto": ready_moto, "nginx": ready_nginx, "slapd": ready_slapd,
         "rt": ready_rt, "keycloak": ready_keycloak}
