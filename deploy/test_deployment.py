"""docker-compose.yml and deploy/Caddyfile, held to their promises without Docker.

Promises reads the file. System starts the very processes that it describes, with their settings, on this machine: five
nodes on one empty database and the proxy before them. scripts/deploy.sh runs it and says what else it wants.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from ruamel.yaml import YAML
from websockets.sync.client import connect

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent
COMPOSE = YAML(typ="safe").load(PROJECT / "docker-compose.yml")
SERVICES = COMPOSE["services"]
NODES = {name: it for name, it in SERVICES.items() if "MUNEEM_ROLES" in it.get("environment", {})}
TAGGED = r":(?!latest$)[\w.-]+$"
PATIENCE = 60


def interpolate(text, variables):
    """What compose makes of ${NAME}, ${NAME:-default} and ${NAME:?what is missing}."""

    def value(match):
        name, operator, rest = match.group(1), match.group(2), match.group(3) or ""
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            raise KeyError(f"{name}: {rest}")
        return interpolate(rest, variables)

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)((?:[^{}]|\$\{[^}]*\})*))?\}", value, str(text))


class Promises(unittest.TestCase):
    def test_the_proxy_alone_is_published_and_reaches_nothing_but_nodes(self):
        self.assertEqual([name for name, it in SERVICES.items() if "ports" in it], ["proxy"])
        self.assertEqual(sorted(port.split("/")[0] for port in SERVICES["proxy"]["ports"]), ["443:443", "443:443", "80:80"])
        for name, service in SERVICES.items():
            with self.subTest(name):
                self.assertFalse({"network_mode", "extends", "privileged"} & service.keys())
        shared = {name for name, it in SERVICES.items() if "front" in it["networks"]}
        self.assertEqual(shared, {"proxy", *NODES})
        self.assertEqual(SERVICES["proxy"]["networks"], ["front"])
        self.assertTrue(COMPOSE["networks"]["back"]["internal"])

    def test_every_service_is_watched_started_again_and_has_bounded_logs(self):
        for name, service in SERVICES.items():
            with self.subTest(name):
                self.assertTrue(service["healthcheck"]["test"])
                self.assertEqual(service["restart"], "unless-stopped")
                self.assertLessEqual({"max-size", "max-file"}, service["logging"]["options"].keys())

    def test_every_image_has_a_version(self):
        for name, service in SERVICES.items():
            with self.subTest(name):
                self.assertRegex(service["image"], TAGGED)
        for image in re.findall(r"^FROM (\S+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE):
            self.assertRegex(image, TAGGED)

    def test_the_nodes_do_all_work_together_and_each_work_that_the_proxy_sends_has_two(self):
        roles = [role for it in NODES.values() for role in it["environment"]["MUNEEM_ROLES"].split(",")]
        self.assertEqual(
            {role: roles.count(role) for role in roles}, {"api": 2, "gateway": 2, "projector": 1, "metering": 1}
        )

    def test_the_proxy_knows_every_node_that_serves(self):
        proxy = SERVICES["proxy"]["environment"]
        for role, variable in [("api", "API_NODES"), ("gateway", "GATEWAY_NODES")]:
            having = [f"{name}:8080" for name, it in NODES.items() if role in it["environment"]["MUNEEM_ROLES"].split(",")]
            self.assertEqual(proxy[variable].split(), having)

    def test_nodes_differ_in_nothing_but_their_roles_and_where_the_others_reach_them(self):
        own = {"MUNEEM_ROLES": "", "MUNEEM_NODE_ADDRESS": ""}
        for name, service in NODES.items():
            with self.subTest(name):
                self.assertEqual(service["environment"]["MUNEEM_NODE_ADDRESS"], f"{name}:8081")
                alike = dict(service, environment=dict(service["environment"], **own))
                first = NODES["api-1"]
                self.assertEqual(alike, dict(first, environment=dict(first["environment"], **own)))

    def test_a_node_can_write_its_snapshots_alone_and_begins_when_what_it_needs_is_there(self):
        for name, service in NODES.items():
            with self.subTest(name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["volumes"], ["snapshots:/var/lib/muneem"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual({it["condition"] for it in service["depends_on"].values()}, {"service_healthy"})
                optional = [name for name, it in service["depends_on"].items() if not it.get("required", True)]
                self.assertEqual(optional, [name for name, it in SERVICES.items() if "profiles" in it])

    def test_a_password_that_is_missing_is_named_and_none_has_a_default(self):
        example = (PROJECT / ".env.example").read_text()
        wanted = re.findall(r"^(\w+)=$", example, re.MULTILINE)
        filled = {name: f"value-of-{name}" for name in wanted}
        text = (PROJECT / "docker-compose.yml").read_text()
        interpolate(text, filled)
        for name in wanted:
            with self.subTest(variable=name), self.assertRaisesRegex(KeyError, name):
                interpolate(text, filled | {name: ""})

    def test_every_volume_is_used_and_what_is_stored_lies_in_one(self):
        mounts = {name: [it.split(":")[0] for it in service.get("volumes", [])] for name, service in SERVICES.items()}
        used = {it for of_one in mounts.values() for it in of_one if not it.startswith(".")}
        self.assertEqual(used, set(COMPOSE["volumes"]))
        for name in ["postgres", "redis", "eventstoredb"]:
            self.assertEqual(mounts[name], [name], "what is stored")


def free_port():
    """Below those that the system gives to outgoing connections, which could take it in between."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def eventually(what, ask):
    """Asks until there is an answer, with the patience of a test."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not in {PATIENCE} s")
        time.sleep(0.05)


class System(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.stop)
        cls.processes, cls.settings = {}, {}
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        database = f"deployment_{os.getpid()}"
        psql = [os.environ["PSQL"], "-XAtqv", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"], "-c"]
        subprocess.run([*psql, f"create database {database}"], check=True)
        cls.addClassCleanup(subprocess.run, [*psql, f"drop database {database} with (force)"], check=True)
        cls.ports = {name: free_port() for name in NODES}
        cls.start_nodes(f"{server}/{database}", f"deployment_{os.getpid()}:")
        cls.start_proxy()
        for name in NODES:
            eventually(f"{name} is ready", lambda: cls.is_well(name, "/health/ready"))
        eventually("the proxy answers", lambda: cls.answers("/v1/coin-plans"))

    @classmethod
    def start_nodes(cls, database, redis_prefix):
        secrets = {name: os.urandom(32).hex() for name in [
            "POSTGRES_PASSWORD", "REDIS_PASSWORD", "MUNEEM_PHONE_PEPPER", "MUNEEM_SEALING_KEY",
            "MUNEEM_RAZORPAY_KEY_ID", "MUNEEM_RAZORPAY_KEY_SECRET", "MUNEEM_RAZORPAY_WEBHOOK_SECRET",
        ]}
        variables = secrets | {
            "MUNEEM_JWT_KEYS": f"a:{os.urandom(32).hex()}",
            "MUNEEM_OTP_SENDER": "console",
            "MUNEEM_REDIS_PREFIX": redis_prefix,
            # Five nodes, on a database that others use too.
            "MUNEEM_DATABASE_CONNECTIONS": "5",
            "RUST_LOG": "info,access=off,sqlx=warn",
            "MUNEEM_LOG_FORMAT": "json",
            # Where the proxy is.
            "FRONT_NETWORK": "127.0.0.1/32",
        }
        # What has another address than inside the network of the containers.
        elsewhere = {
            interpolate("postgres://muneem:${POSTGRES_PASSWORD}@postgres:5432/muneem", variables): database,
            interpolate("redis://:${REDIS_PASSWORD}@redis:6379/0", variables): os.environ["REDIS_URL"],
            "/var/lib/muneem": str(cls.folder),
        }
        for name, node in NODES.items():
            told = {"PATH": os.environ["PATH"]}
            for setting, text in node["environment"].items():
                value = interpolate(text, variables)
                for inside, here in elsewhere.items():
                    value = value.replace(inside, here)
                told[setting] = value
            told["MUNEEM_LISTEN"] = f"127.0.0.1:{cls.ports[name]}"
            told["MUNEEM_NODE_ADDRESS"] = f"127.0.0.1:{free_port()}"
            cls.settings[name] = told
        # All at the same moment, on an empty database.
        for name in NODES:
            cls.start_node(name)

    @classmethod
    def start_node(cls, name):
        cls.start(name, [os.environ["MUNEEM_BINARY"], "serve"], cls.settings[name])

    @classmethod
    def start(cls, name, command, environment):
        with open(cls.folder / f"{name}.log", "wb") as log:
            cls.processes[name] = subprocess.Popen(command, cwd=cls.folder, env=environment, stdout=log, stderr=log)

    @classmethod
    def start_proxy(cls):
        """Caddy as in the container, but for its ports and folders."""
        caddy, config = os.environ["CADDY"], cls.folder / "caddy.json"
        told = {
            "PATH": os.environ["PATH"],
            "DOMAIN": interpolate(SERVICES["proxy"]["environment"]["DOMAIN"], {}),
            "XDG_DATA_HOME": str(cls.folder / "data"),
            "XDG_CONFIG_HOME": str(cls.folder / "config"),
        }
        for variable in ["API_NODES", "GATEWAY_NODES"]:
            names = [it.split(":")[0] for it in SERVICES["proxy"]["environment"][variable].split()]
            told[variable] = " ".join(f"127.0.0.1:{cls.ports[name]}" for name in names)
        adapt = [caddy, "adapt", "--config", HERE / "Caddyfile", "--adapter", "caddyfile"]
        adapted = json.loads(subprocess.run(adapt, env=told, check=True, capture_output=True).stdout)
        cls.https, cls.http = free_port(), free_port()
        adapted["admin"] = {"disabled": True}
        web = adapted["apps"]["http"]
        web |= {"https_port": cls.https, "http_port": cls.http}
        (server,) = web["servers"].values()
        assert server["listen"] == [":443"], server["listen"]
        server["listen"] = [f"127.0.0.1:{cls.https}"]
        config.write_text(json.dumps(adapted))
        cls.start("proxy", [caddy, "run", "--config", config], told)
        root = cls.folder / "data/caddy/pki/authorities/local/root.crt"
        eventually("the proxy makes its authority", root.exists)
        cls.trust = ssl.create_default_context(cafile=root)

    @classmethod
    def stop(cls):
        for process in cls.processes.values():
            process.kill()
            process.wait()

    @classmethod
    def log(cls, name):
        return (cls.folder / f"{name}.log").read_text(errors="replace")

    @classmethod
    def is_well(cls, name, path):
        """Asks as the container's health check does."""
        if cls.processes[name].poll() is not None:
            raise AssertionError(f"{name} ended:\n{cls.log(name)}")
        check = SERVICES[name]["healthcheck"]["test"]
        assert check == ["CMD", "muneem-health", "/health/ready"], check
        ask = [HERE / "health.sh", path, str(cls.ports[name])]
        return subprocess.run(ask, capture_output=True, timeout=PATIENCE).returncode == 0

    @classmethod
    def ask(cls, method, path, body=None, headers=None, port=None, source="127.0.0.1"):
        """Through the proxy, or straight to a node."""
        plain = {"timeout": PATIENCE, "source_address": (source, 0)}
        if port is None:
            connection = http.client.HTTPSConnection("localhost", cls.https, context=cls.trust, **plain)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, **plain)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"content-type": "application/json"} | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @classmethod
    def answers(cls, path):
        try:
            return cls.ask("GET", path)[0] == 200
        except OSError:
            return False

    def test_a_person_signs_in_over_https_and_opens_a_socket(self):
        phone = "+919812345678"
        status, _, body = self.ask("POST", "/v1/auth/otp", {"phone": phone, "channel": "sms"})
        self.assertEqual(status, 202, body)
        challenge = json.loads(body)["challenge"]
        lines = "".join(self.log(name) for name in NODES).splitlines()
        (code,) = re.findall(rf'{re.escape(phone)}.*?"code":"(\d+)"', "\n".join(lines))
        # Another node than the one that was asked first may be the one that answers.
        verify = {"phone": phone, "challenge": challenge, "code": code}
        status, _, body = self.ask("POST", "/v1/auth/otp/verify", verify)
        self.assertEqual(status, 200, body)
        token = json.loads(body)["tokens"]["access_token"]
        for _ in range(4):
            status, _, body = self.ask("GET", "/v1/me", headers={"authorization": f"Bearer {token}"})
            self.assertEqual(status, 200, body)
        with connect(f"wss://localhost:{self.https}/v1/ws", ssl=self.trust) as sockets:
            sockets.send(json.dumps({"id": 1, "type": "auth", "data": {"token": token}}))
            self.assertEqual(json.loads(sockets.recv(timeout=PATIENCE))["type"], "auth:done")

    def test_each_path_comes_to_the_nodes_that_serve_it(self):
        for path, wanted in [
            ("/v1/coin-plans", 200), ("/docs/", 200), ("/v1/asyncapi.json", 200), ("/v1/nothing", 404), ("/metrics", 404),
        ]:
            for _ in range(4):
                self.assertEqual(self.ask("GET", path)[0], wanted, path)
        for name, path, wanted in [
            ("api-1", "/metrics", 200), ("api-1", "/v1/ws", 404), ("gateway-1", "/v1/coin-plans", 404),
            ("projector", "/v1/coin-plans", 404), ("projector", "/v1/ws", 404),
        ]:
            self.assertEqual(self.ask("GET", path, port=self.ports[name])[0], wanted, f"{name} {path}")

    def test_who_asks_without_tls_is_sent_to_https(self):
        status, headers, _ = self.ask("GET", "/v1/coin-plans", headers={"host": "localhost"}, port=self.http)
        self.assertEqual(status, 308)
        self.assertTrue(headers["Location"].startswith("https://localhost"), headers)

    def test_a_client_counts_by_its_own_address_whatever_it_says(self):
        def remaining(source, claimed):
            _, headers, _ = self.ask("GET", "/v1/coin-plans", headers={"x-forwarded-for": claimed}, source=source)
            return int(headers["ratelimit-remaining"])

        used = [remaining("127.0.0.2", f"198.51.100.{number}") for number in range(100)]
        # The least, since a minute may end between two of them.
        self.assertLess(min(used), remaining("127.0.0.3", "127.0.0.2") - 20)

    def test_the_health_check_of_a_container_tells_the_truth(self):
        self.assertTrue(self.is_well("gateway-1", "/health/ready"))
        self.assertFalse(self.is_well("gateway-1", "/health/nothing"))
        ask = [HERE / "health.sh", "/health/live", str(free_port())]
        self.assertNotEqual(subprocess.run(ask, capture_output=True).returncode, 0)

    def test_when_nodes_die_the_others_answer_for_them(self):
        died = ["api-1", "gateway-2", "projector"]
        for name in died:
            self.processes[name].kill()
            self.processes[name].wait()
        for _ in range(20):
            for path in ["/v1/coin-plans", "/v1/asyncapi.json"]:
                self.assertEqual(self.ask("GET", path)[0], 200, path)
        for name in died:
            self.start_node(name)
        for name in died:
            eventually(f"{name} is ready again", lambda: self.is_well(name, "/health/ready"))


if __name__ == "__main__":
    unittest.main()
