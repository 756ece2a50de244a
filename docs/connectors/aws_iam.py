#!/usr/bin/env python3
"""A connector of kind `process` for AWS IAM: users with all that they have, and its own keys.

Speaks the IAM query API (version 2010-05-08) with Signature Version 4, by the standard library alone.
The credential's secret is `<access key id>:<secret access key>`, its `remote_ref` the access key id. A
user has at most two access keys, and IAM keeps no labels for them: a key that was not there when a
rotation began, and that nobody saved, is one whose answer was lost.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml

SERVICE, VERSION = "iam", "2010-05-08"
# What IAM answers to a credential that it does not take.
NOT_TAKEN = {"InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "ExpiredToken",
             "IncompleteSignature", "AuthFailure"}


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


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed request goes to no other host."""

    def redirect_request(self, *_):
        return None


class Iam:
    """The API, signed with the credential of the call."""

    def __init__(self, call):
        self.endpoint = call["options"].get("endpoint", "https://iam.amazonaws.com").rstrip("/")
        self.region = call["options"].get("region", "us-east-1")
        self.users = call["options"]["users"]
        self.key_id, _, self.key = call["credential"]["secret"].partition(":")
        # Neither a proxy of the environment nor a redirect gets to see a request.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)

    def headers(self, body):
        """Signature Version 4 for a POST to `/`."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        host = urllib.parse.urlsplit(self.endpoint).netloc
        signed = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "host": host, "x-amz-date": now}
        names = ";".join(sorted(signed))
        listed = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        request = f"POST\n/\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{now[:8]}/{self.region}/{SERVICE}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = ("AWS4" + self.key).encode()
        for part in (now[:8], self.region, SERVICE, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.key_id}/{scope}, SignedHeaders={names}, "
                                   f"Signature={signature}")
        return signed

    def send(self, action, writes=False, **parameters):
        body = urllib.parse.urlencode({"Action": action, "Version": VERSION, **parameters}).encode()
        request = urllib.request.Request(self.endpoint + "/", data=body, headers=self.headers(body), method="POST")
        try:
            with self.opener.open(request, timeout=30) as answer:
                return self.parsed(answer.read(), writes)
        except urllib.error.HTTPError as error:
            raise self.refused(action, error, writes) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            sent = not isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            lost = "unknown_outcome" if writes and sent else "unreachable"
            raise Failed(lost, f"{action} was lost: {type(error).__name__}") from None

    @staticmethod
    def parsed(text, writes):
        try:
            root = xml.fromstring(text)
        except xml.ParseError:
            raise Failed("unknown_outcome" if writes else "drifted", "the answer is not XML") from None
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def refused(self, action, error, writes):
        status = error.code
        try:
            root = self.parsed(error.read(), False)
            code = root.findtext(".//Code") or ""
        except Failed:
            code = ""
        # The words of the answer stay out: they may name other people's accounts.
        words = f"{action} is answered with {status} {code}".strip()
        if code in NOT_TAKEN:
            return Failed("auth_failure", words)
        if code == "NoSuchEntity":
            return Failed("absent", words)
        if code in ("Throttling", "ThrottlingException", "RequestLimitExceeded") or status == 429:
            return Failed("rate_limited", words)
        if code in ("DeleteConflict", "EntityTemporarilyUnmodifiable", "ConcurrentModification"):
            return Failed("write_failure", words)
        if status >= 500:
            return Failed("unknown_outcome" if writes else "unreachable", words)
        return Failed("refused", words)

    def pages(self, action, item, **parameters):
        """Every item of every page."""
        marker = {}
        while True:
            root = self.send(action, **parameters, **marker)
            yield from root.findall(f".//{item}/member")
            if root.findtext(".//IsTruncated") != "true":
                return
            marker = {"Marker": root.findtext(".//Marker") or ""}
            if not marker["Marker"]:
                raise Failed("drifted", f"{action} does not say where it goes on")

    def all_users(self):
        return [(user.findtext("UserId"), user.findtext("UserName")) for user in self.pages("ListUsers", "Users")]

    def name(self, call):
        """The name of the user with the id of the call, if it is still that user's."""
        names = [name for user, name in self.all_users() if user == call["account"]]
        if names and names[0] != call["login"]:
            raise Failed("ambiguous", "the id belongs to another name now")
        return names[0] if names else None

    def keys(self, name):
        return [key.findtext("AccessKeyId") for key in self.pages("ListAccessKeys", "AccessKeyMetadata", UserName=name)]

    def console(self, name):
        """Whether the user has a password for the console."""
        try:
            self.send("GetLoginProfile", UserName=name)
        except Failed as failure:
            if failure.failure_class != "absent":
                raise
            return False
        return True

    def own(self, role):
        """The IAM user as whom one of Clawback's credentials signs in."""
        if role not in self.users:
            raise Failed("unsupported", f"the manifest names no IAM user of the {role}")
        return self.users[role]


# What can be switched off before it is deleted: the list, its items, their id, the part of the actions' names, the
# prefix of our ids, and the field. Only access keys are credentials: of those alone the id is what is presented.
SWITCHED = [
    ("ListAccessKeys", "AccessKeyMetadata", "AccessKeyId", "AccessKey", "", "access_keys"),
    ("ListSSHPublicKeys", "SSHPublicKeys", "SSHPublicKeyId", "SSHPublicKey", "ssh:", "ssh_keys"),
    ("ListServiceSpecificCredentials", "ServiceSpecificCredentials", "ServiceSpecificCredentialId",
     "ServiceSpecificCredential", "service:", "service_credentials"),
    ("ListSigningCertificates", "Certificates", "CertificateId", "SigningCertificate", "signing:", "certificates"),
]


class Held:
    """Something that a user has: how it is shown, whether it lets in, and what takes it away."""

    def __init__(self, id, kind, name, field, gone, off=None, active=False):
        self.shown = {"id": id, "kind": kind, "name": name}
        self.id, self.field, self.gone, self.off, self.active = id, field, gone, off, active


def held(iam, name):
    """All that IAM keeps for the user besides its MFA devices, which let nobody in."""
    found = []
    if iam.console(name):
        gone = ("DeleteLoginProfile", {})
        found.append(Held("login:console", "permission", "console password", "login_profile", gone, gone, True))
    for action, items, key, noun, prefix, field in SWITCHED:
        for one in iam.pages(action, items, UserName=name):
            id, kind = one.findtext(key), "permission" if prefix else "credential"
            found.append(Held(prefix + id, kind, f"{noun} {id}", field, ("Delete" + noun, {key: id}),
                              ("Update" + noun, {key: id, "Status": "Inactive"}), one.findtext("Status") != "Inactive"))
    for one in iam.pages("ListGroupsForUser", "Groups", UserName=name):
        group = one.findtext("GroupName")
        found.append(Held(group, "group", group, "groups", ("RemoveUserFromGroup", {"GroupName": group})))
    for one in iam.pages("ListAttachedUserPolicies", "AttachedPolicies", UserName=name):
        arn = one.findtext("PolicyArn")
        found.append(Held("policy:" + arn, "permission", one.findtext("PolicyName"), "policies",
                          ("DetachUserPolicy", {"PolicyArn": arn})))
    for one in iam.pages("ListUserPolicies", "PolicyNames", UserName=name):
        found.append(Held("inline:" + one.text, "permission", one.text, "policies",
                          ("DeleteUserPolicy", {"PolicyName": one.text})))
    return found


def account(user, name, state, entitlements):
    return {"id": user, "login": name, "state": state, "attributes": {"user_name": name},
            "entitlements": entitlements}


def whole(method):
    return {"pages_closed": True, "permission_cut": False, "method": method}


def list_users(iam):
    for user, name in iam.all_users():
        say("account", account(user, name, "not_told", []))
    return whole("ListUsers, every page")


def read_user(iam, call):
    for user, name in iam.all_users():
        if user == call["account"]:
            found = held(iam, name)
            state = "enabled" if any(one.active for one in found) else "disabled"
            say("account", account(user, name, state, [one.shown for one in found]))
    return whole("ListUsers, GetLoginProfile, and the lists of keys, credentials, certificates, groups and policies")


def send(iam, call, name, action, field, parameters):
    """One change; false when there was nothing to change."""
    ask(f"{action} of {call['account']}", [field])
    try:
        iam.send(action, writes=True, UserName=name, **parameters)
    except Failed as failure:
        if failure.failure_class != "absent":
            raise
        return False
    return True


def disable(iam, call, name):
    """No way in stays active; what the user may do is taken away later."""
    active = [one for one in held(iam, name) if one.active]
    done = [send(iam, call, name, one.off[0], one.field, one.off[1]) for one in active]
    return any(done)


def revoke(iam, call, name):
    wanted = call["entitlement"]["id"]
    for one in held(iam, name):
        if one.id == wanted:
            return send(iam, call, name, one.gone[0], one.field, one.gone[1])
    return False


def delete(iam, call, name):
    """IAM deletes no user who still has something."""
    for one in held(iam, name):
        send(iam, call, name, one.gone[0], "*", one.gone[1])
    for device in list(iam.pages("ListMFADevices", "MFADevices", UserName=name)):
        send(iam, call, name, "DeactivateMFADevice", "*", {"SerialNumber": device.findtext("SerialNumber")})
    return send(iam, call, name, "DeleteUser", "*", {})


def change(iam, call, how):
    name = iam.name(call)
    done = name is not None and how(iam, call, name)
    return {"answer": "accepted" if done else "absent"}


def mint(iam, call):
    name = iam.own(call["role"])
    ask(f"CreateAccessKey of {name}")
    root = iam.send("CreateAccessKey", writes=True, UserName=name)
    key_id, key = root.findtext(".//AccessKeyId"), root.findtext(".//SecretAccessKey")
    if not key_id or not key:
        raise Failed("drifted", "the answer lacks the new key")
    return {"remote_ref": key_id, "secret": f"{key_id}:{key}"}


def minted(iam, call):
    for key in iam.keys(iam.own(call["role"])):
        say("secret", {"remote_ref": key, "label": ""})
    return {"pages_closed": True}


def retire(iam, call):
    name, key = iam.own(call["role"]), call["remote_ref"]
    for action, more in (("UpdateAccessKey", {"Status": "Inactive"}), ("DeleteAccessKey", {})):
        ask(f"{action} {key} of {name}")
        try:
            iam.send(action, writes=True, UserName=name, AccessKeyId=key, **more)
        except Failed as failure:
            if failure.failure_class != "absent":
                raise
    return {}


def serve(first):
    iam, call = Iam(first), first["with"]
    word = first["do"]
    if word == "list":
        return list_users(iam)
    if word == "read":
        return read_user(iam, call)
    changes = {"disable": disable, "revoke_entitlement": revoke, "revoke_credential": revoke, "delete": delete}
    if word in changes:
        return change(iam, call, changes[word])
    if word == "try_credential":
        # Every role may look at its own user; the answer tells whether the key is taken.
        iam.send("GetUser")
        return {}
    words = {"mint": mint, "minted": minted, "retire": retire}
    if word not in words:
        raise Failed("unsupported", f"aws_iam cannot {word}")
    return words[word](iam, call)


def main():
    first = json.loads(sys.stdin.readline())
    if first["clawback"] != 1:
        sys.exit("aws_iam speaks protocol 1")
    try:
        say("done", serve(first))
    except Failed as failure:
        said = "write_failure" if failure.failure_class == "absent" else failure.failure_class
        say("failed", {"class": said, "message": str(failure)})


if __name__ == "__main__":
    main()
