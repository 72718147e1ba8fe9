"""The MQTT clients that show behaviours, and which ones each can't or other brokers don't."""

from __future__ import annotations

import shutil
from pathlib import Path

from clients import PYTHON, REMEDY, ROOT, Client

MQTT = ROOT / "interop-tests" / "mqtt"
AMQTT_PYTHON = ROOT / ".venvs" / "amqtt" / "bin" / "python"
BUILT = ROOT / "build" / "interop"
NODE_MODULE = MQTT / "node" / "node_modules" / "mqtt" / "package.json"
MOSQUITTO_SUB = Path(shutil.which("mosquitto_sub") or "/usr/bin/mosquitto_sub")

LIMITED_USER = {"publish_not_authorised", "subscribe_not_authorised"}
"""They need a user with less than all rights."""

UNSEEN_BY_ASYNCIO_CLIENTS = {"ping", "publish_not_authorised"}
"""They tell nobody of a PINGRESP, nor of a PUBACK's reason code."""
WITHOUT = {
    "gmqtt-5": {
        *UNSEEN_BY_ASYNCIO_CLIENTS, "assigned_client_id", "receive_maximum", "takeover_reason",
        "topic_alias_to_client",
    },
    "gmqtt-3.1.1": {"ping"},
    "aiomqtt-5": {
        *UNSEEN_BY_ASYNCIO_CLIENTS, "assigned_client_id", "limits_told", "receive_maximum", "response_information",
        "server_keep_alive", "session_expiry", "topic_alias_to_broker", "topic_alias_to_client", "will_on_request",
    },
    "aiomqtt-3.1.1": {"ping"},
    "HiveMQ-3.1.1": {"scram_login"},
}  # fmt: skip
"""What a client does not do, or does not tell."""

# Others are on record as failing these; what Mosquitto 2.0.11 does is said.
OURS_ONLY = {
    "overlapping_subscriptions": "a copy for each subscription",
    "refused_subscription": "takes a shared subscription without a name",
    "subscribe_not_authorised": "tells it in no SUBACK",
    "receive_maximum": "sends two messages for one acknowledgement",
    "response_information": "has none",
    "scram_login": "has no authentication method",
    "retain_handling": "sends retained messages to shared subscriptions",
    "subscription_identifiers": "a copy for each subscription",
    "takeover_reason": "hangs up without a word",
    "topic_alias_to_client": "never uses one",
    "will_at_session_end": "waits for the delay",
}
OURS_ONLY_FOR = {
    ("rumqttc-3.1.1", "every_qos"): "hangs up on more than 20 messages in flight",
    ("HiveMQ-3.1.1", "every_qos"): "hangs up on more than 20 messages in flight",
    ("mosquitto-5", "every_qos"): "stalls with QoS 2",
    ("mosquitto-5", "offline_messages"): "stalls with QoS 2",
}


def why_ours_only(client: str, behaviour: str) -> str | None:
    """What another broker is known to do instead; None where it is held to it too."""
    return OURS_ONLY.get(behaviour) or OURS_ONLY_FOR.get((client, behaviour))


def python_client(name: str, version: str, python: Path = PYTHON) -> Client:
    level = {"3.1": "3", "3.1.1": "4", "5": "5"}[version]
    patterns = ("any_version/*.py", "version_5/*.py") if version == "5" else ("any_version/*.py",)
    command = (str(python), "run.py", name, level)
    return Client(f"{name}-{version}", command, MQTT / "python", patterns, python, "run make interop")


def mosquitto_client(version: str) -> Client:
    level = {"3.1": "3", "3.1.1": "4", "5": "5"}[version]
    patterns = ("any_version/*.py", "version_5/*.py") if version == "5" else ("any_version/*.py",)
    remedy = "apt-get install mosquitto-clients"
    return Client(
        f"mosquitto-{version}", (str(PYTHON), "run.py", level), MQTT / "mosquitto", patterns, MOSQUITTO_SUB, remedy
    )


def node_client(version: str) -> Client:
    level = {"3.1": "3", "3.1.1": "4", "5": "5"}[version]
    patterns = ("any_version/*.js", "version_5/*.js") if version == "5" else ("any_version/*.js",)
    remedy = f"apt-get install nodejs npm, {REMEDY}"
    return Client(f"MQTT.js-{version}", ("node", "run.js", level), MQTT / "node", patterns, NODE_MODULE, remedy)


def go_client(name: str, folder: str) -> Client:
    built = BUILT / folder
    remedy = f"install Go 1.22 or newer, {REMEDY}"
    return Client(name, (str(built),), MQTT / "go", (f"{folder}/*.go",), built, remedy)


def rust_client(version: str) -> Client:
    built = BUILT / "rumqttc"
    command = (str(built), {"3.1.1": "4", "5": "5"}[version])
    return Client(f"rumqttc-{version}", command, MQTT / "rust", ("src/behaviours/*.rs",), built, REMEDY)


def java_client(version: str) -> Client:
    level = {"3.1.1": "4", "5": "5"}[version]
    built = BUILT / "hivemq"
    # Runs are short: no time is spent on optimising what they run.
    command = ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{built}/*", "Run", level)
    patterns = ("src/main/java/[a-z]*.java",)
    remedy = f"apt-get install default-jdk-headless maven, {REMEDY}"
    return Client(f"HiveMQ-{version}", command, MQTT / "java", patterns, built, remedy)


MQTT_CLIENTS = (
    *(python_client("paho", version) for version in ("3.1", "3.1.1", "5")),
    *(python_client("gmqtt", version) for version in ("3.1.1", "5")),
    *(python_client("aiomqtt", version) for version in ("3.1.1", "5")),
    python_client("amqtt", "3.1.1", AMQTT_PYTHON),
    *(mosquitto_client(version) for version in ("3.1", "3.1.1", "5")),
    *(node_client(version) for version in ("3.1", "3.1.1", "5")),
    go_client("paho.mqtt.golang-3.1.1", "pahov3"),
    go_client("paho.golang-5", "pahov5"),
    *(rust_client(version) for version in ("3.1.1", "5")),
    *(java_client(version) for version in ("3.1.1", "5")),
)
