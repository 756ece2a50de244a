"""The five kinds of service that ctl can run: how each is laid out, started and asked whether it answers.

Each planner takes (home, options, port) and returns the plan that ctl keeps in NAME.json: `argv`,
`env` (what callers may read), and where needed `user`, `cwd`, `environ`, `stop`, `outside`.
Knows nothing about processes; that is ctl.
"""
import base64
import glob
import hashlib
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


# --- Canaille: an identity server with OAuth 2.0 and a JSON API, which nobody here wrote --------

def plan_canaille(home, options, port):
    program, number = os.path.join(TOOLS, "canaille", "bin", "canaille"), port()
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
    url = f"http://127.0.0.1:{number}"
    return {"argv": [program, "run", "--bind", f"127.0.0.1:{number}"], "cwd": home, "environ": {"CONFIG": config}, "env": {
        "HOST": "127.0.0.1", "PORT": number, "URL": f"{url}/scim/v2", "TOKEN_URL": f"{url}/oauth/token", **values,
    }}


def ready_canaille(state):
    return answers(f"{state['env']['URL']}/Users", expect=401)


KINDS = {"postgres": plan_postgres, "kafka": plan_kafka, "scim": plan_scim, "nginx": plan_nginx,
         "canaille": plan_canaille}
READY = {"postgres": ready_postgres, "kafka": ready_kafka, "scim": ready_scim, "nginx": ready_nginx,
         "canaille": ready_canaille}
