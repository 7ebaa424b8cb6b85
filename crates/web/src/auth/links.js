"use strict";
(() => {
  const texts = {
    en: {
      reset_password: ["Set a new password", "Set password", "Your password is set. You can sign in now."],
      verify_address: ["Confirm your address", "Confirm", "Your address is confirmed."],
      change_address: ["Confirm your new address", "Confirm", "Your new address is confirmed."],
      sign_in: ["Sign in", "Sign in", "You are signed in."],
      invite: ["Accept your invitation", "Accept", "The invitation is accepted."],
      email: "Your address",
      label: "New password",
      bad: "This link is not complete.",
      failed: "That did not work: ",
    },
    tr: {
      reset_password: ["Yeni şifre belirleyin", "Şifreyi belirle", "Şifreniz belirlendi. Artık oturum açabilirsiniz."],
      verify_address: ["Adresinizi onaylayın", "Onayla", "Adresiniz onaylandı."],
      change_address: ["Yeni adresinizi onaylayın", "Onayla", "Yeni adresiniz onaylandı."],
      sign_in: ["Oturum aç", "Oturum aç", "Oturumunuz açıldı."],
      invite: ["Davetinizi kabul edin", "Kabul et", "Davet kabul edildi."],
      email: "Adresiniz",
      label: "Yeni şifre",
      bad: "Bu bağlantı eksik.",
      failed: "İşlem tamamlanamadı: ",
    },
  };
  const calls = {
    reset_password: "password/reset",
    verify_address: "me/email/confirm",
    change_address: "me/email/confirm",
    sign_in: "email/verify",
    invite: "invites/accept",
  };
  const language = (navigator.language || "").toLowerCase().startsWith("tr") ? "tr" : "en";
  const text = texts[language];
  const at = (id) => document.getElementById(id);
  document.documentElement.lang = language;

  const given = new URLSearchParams(location.hash.slice(1));
  // The secret does not stay in the address, where the history would keep it.
  history.replaceState(null, "", location.pathname);
  const kind = given.get("kind");
  const own = Object.hasOwn(calls, kind || "") ? text[kind] : null;
  if (!own || !given.get("ref") || !given.get("code")) {
    at("result").textContent = text.bad;
    return;
  }
  const sets = kind === "reset_password";
  const invites = kind === "invite";
  let registers = false;
  at("title").textContent = own[0];
  document.title = own[0];
  at("button").textContent = own[1];
  at("label").textContent = text.label;
  at("label").hidden = !sets;
  at("password").hidden = !sets;
  at("password").required = sets;
  at("form").hidden = false;
  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    at("button").disabled = true;
    const signsIn = kind === "sign_in";
    const body = signsIn
      ? { otpRef: given.get("ref"), otp: given.get("code"), transport: "cookie" }
      : { ref: given.get("ref"), code: given.get("code") };
    if (sets) body.newPassword = at("password").value;
    const token = { inviteToken: given.get("code") };
    const registration = () => ({
      ...token,
      email: at("email").value,
      password: at("password").value,
      transport: "cookie",
    });
    const sent = invites ? (registers ? registration() : token) : body;
    try {
      const answer = await fetch(registers ? "register" : calls[kind], {
        method: "POST",
        // A sign-in sets cookies, and an invitation is accepted with the cookies of a session; no other call here needs any.
        credentials: signsIn || invites ? "same-origin" : "omit",
        headers: { "content-type": "application/json", "accept-language": language },
        body: JSON.stringify(sent),
      });
      const told = await answer.json();
      if (answer.ok) {
        at("form").hidden = true;
        at("result").textContent = own[2];
        return;
      }
      const error = told.error || told;
      if (invites && !registers && error.code === "TOKEN_MISSING") {
        // Without a session the invitation makes an account.
        registers = true;
        at("label").textContent = text.label;
        at("email-label").textContent = text.email;
        for (const id of ["label", "password", "email-label", "email"]) at(id).hidden = false;
        at("password").required = at("email").required = true;
        at("button").disabled = false;
        return;
      }
      const fields = error.details && error.details.fields;
      const why = fields ? Object.values(fields).join("; ") : error.message || error.code;
      at("result").textContent = text.failed + why;
    } catch (error) {
      at("result").textContent = text.failed + error;
    }
    at("button").disabled = false;
  });
})();
