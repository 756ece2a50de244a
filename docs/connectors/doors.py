#!/usr/bin/env python3
"""A connector of kind `process`: speaks protocol 1 for a door controller whose list is a JSON file.

    {"keys": {"writer": "<SHA-256 of the key, hex>", "verifier": "..."},
     "people": [{"id": "17", "login": "ada", "number": "E17", "active": true, "zones": ["lab"]}]}

One call for each start: the first line says what is wanted, the lines that follow on standard output
are the answer. Before each request that it sends it asks, and sends it only when it was granted.
"""

import fcntl
import hashlib
import hmac
import json
import os
import sys
import tempfile


class Failed(Exception):
    """A failure with its class, as docs/connectors/process.md lists them."""

    def __init__(self, failure_class, message):
        super().__init__(message)
        self.failure_class = failure_class


def say(kind, body):
    print(json.dumps({kind: body}), flush=True)


def ask(line, writes=()):
    say("ask", {"line": line, "writes": list(writes)})
    answer = sys.stdin.readline()
    if not answer or not json.loads(answer)["granted"]:
        sys.exit(1)


class Doors:
    """The controller's list, opened with the credential of the call."""

    def __init__(self, call):
        self.path = call["options"]["path"]
        self.credential = call["credential"]

    def load(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                doors = json.load(file)
        except FileNotFoundError as error:
            raise Failed("unreachable", "the controller's list is not there") from error
        except (ValueError, UnicodeDecodeError) as error:
            raise Failed("drifted", "the controller's list is not JSON") from error
        expected = doors["keys"].get(self.credential["role"], "")
        given = hashlib.sha256(self.credential["secret"].encode()).hexdigest()
        if not hmac.compare_digest(expected, given):
            raise Failed("auth_failure", "the controller does not know the key")
        return doors

    def change(self, edit):
        """Replaces the list whole, while nobody else does; `edit` says whether it found anything."""
        folder = os.path.dirname(self.path)
        with open(self.path + ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            doors = self.load()
            if not edit(doors):
                return "absent"
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as draft:
                json.dump(doors, draft)
                draft.flush()
                os.fsync(draft.fileno())
            os.replace(draft.name, self.path)
            return "accepted"


def account(person):
    return {
        "id": person["id"],
        "login": person["login"],
        "state": "enabled" if person["active"] else "disabled",
        "attributes": {"number": person["number"]},
        "entitlements": [{"id": zone, "kind": "permission"} for zone in person["zones"]],
    }


def show(doors, wanted):
    people = doors.load()["people"]
    for person in people:
        if wanted is None or person["id"] == wanted:
            say("account", account(person))
    return {"pages_closed": True, "permission_cut": False, "method": "read the controller's list"}


def person_in(doors, call):
    found = [one for one in doors["people"] if one["id"] == call["account"]]
    if found and found[0]["login"] != call["login"]:
        raise Failed("ambiguous", "the id belongs to somebody else now")
    return found[0] if found else None


def disable(doors, call):
    ask(f"SET active OF {call['account']}", ["active"])

    def edit(all_doors):
        person = person_in(all_doors, call)
        if person is None or not person["active"]:
            return False
        person["active"] = False
        return True

    return {"answer": doors.change(edit)}


def revoke_entitlement(doors, call):
    zone = call["entitlement"]["id"]
    ask(f"TAKE {zone} FROM {call['account']}", ["zones"])

    def edit(all_doors):
        person = person_in(all_doors, call)
        if person is None or zone not in person["zones"]:
            return False
        person["zones"].remove(zone)
        return True

    return {"answer": doors.change(edit)}


def delete(doors, call):
    ask(f"DELETE {call['account']}", ["*"])

    def edit(all_doors):
        person = person_in(all_doors, call)
        if person is None:
            return False
        all_doors["people"].remove(person)
        return True

    return {"answer": doors.change(edit)}


def mint(doors, call):
    """The key is chosen by Clawback; the controller keeps one for each role, so the old one dies."""
    ask(f"SET KEY OF {call['role']}")

    def edit(all_doors):
        all_doors["keys"][call["role"]] = hashlib.sha256(call["chosen"].encode()).hexdigest()
        return True

    doors.change(edit)
    return {}


def serve(first):
    doors, call = Doors(first), first["with"]
    match first["do"]:
        case "list":
            return show(doors, None)
        case "read":
            return show(doors, call["account"])
        case "disable":
            return disable(doors, call)
        case "revoke_entitlement":
            return revoke_entitlement(doors, call)
        case "delete":
            return delete(doors, call)
        case "try_credential":
            doors.load()
            return {}
        case "mint":
            return mint(doors, call)
        case "minted":
            return {"pages_closed": True}
        case "retire":
            return {}
        case other:
            raise Failed("unsupported", f"doors cannot {other}")


def main():
    first = json.loads(sys.stdin.readline())
    if first["clawback"] != 1:
        sys.exit("doors speaks protocol 1")
    try:
        say("done", serve(first))
    except Failed as failure:
        say("failed", {"class": failure.failure_class, "message": str(failure)})


if __name__ == "__main__":
    main()
