"""Texts of our channels and providers that pages show, so that they are collected."""

from flask_babel import lazy_gettext as _

PLUGIN_WORDS = (
    # Promo codes.
    _("Promo code"),
    _("issued of the group"),
    _("issued of {group}"),
    _("never issued of the group"),
    _("never issued of {group}"),
    _("A code of a group, one for each customer of a mailing."),
    _("Warn below so many codes"),
    _("In the list of groups, and before a mailing that issues them. 0: never."),
    _("Promo codes: read a group"),
    _("Promo codes: make a group"),
    _("Promo codes: add codes"),
    _("There are no codes. Enter one a line."),
    _("There is no such group of promo codes."),
    _("A part such as {string('0-9', 4)} needs characters and a length."),
    _("Write parts as {string('0-9', 4)}, and no spaces or other braces."),
    _("A code holds no spaces. Take them out of the format."),
    # The SMS channel.
    _(
        "At most 11 Latin letters and digits, as registered with the provider, or a number."
        " Empty: the gateway's own."
    ),
    _("{{ unsubscribe_url }} becomes an address to opt out."),
    _("Spell in Latin letters"),
    _(
        "More than twice as much fits into a part. Texts that cannot be spelled so, such as"
        " those with an emoji, stay as they are."
    ),
    _("Track clicks on links"),
    _("Tracked addresses are short; the counter includes them."),
    _(
        "Phones show a name of at most 11 Latin letters and digits, or a phone number. Enter"
        " one as it is registered with the provider."
    ),
    _("This is no phone number with its country code."),
    _("The text is empty for this customer."),
    # Any HTTP interface.
    _("Any HTTP interface"),
    _("What it can do is what its provider can; try it with a few messages first."),
    _(
        "May hold {phone}, {digits}, {text}, {sender}, {key}, {parts}, {lifetime} and"
        " {secret}, as the next fields."
    ),
    _("Method"),
    _("Body"),
    _("Template of the body"),
    _("Headers"),
    _("One a line."),
    _("Password or key"),
    _("Stands where {secret} is written."),
    _("Usual sender"),
    _("Header of the key"),
    _("Where the provider takes a message with the same key only once."),
    _("Where the number stands"),
    _("A path in JSON, such as result.0.id, or the text around it, such as id={}&."),
    _("Where the answer's word stands"),
    _("Where the error's number stands"),
    _("Words for taken"),
    _("Separated by commas. Empty: any."),
    _("Words for try again"),
    _("Time to answer"),
    _("Address to test"),
    _("Asked by GET, such as the balance. Empty: only whether the server is there."),
    _("Reports: where the number stands"),
    _("Reports: where our key stands"),
    _("Reports: where the state stands"),
    _("Reports: what states mean"),
    _("One a line: the provider's word, and delivered, read, failed or deferred."),
    _("Reports: shown to be genuine by"),
    _("Reports: header of the proof"),
    _("Reports: secret"),
    _("Replies: where the customer's number stands"),
    _("Replies: where the text stands"),
    _("Replies come to the same address as reports, and have no state."),
    _("Without it no report is taken."),
    _("Form"),
    _("The secret in a header"),
    _("HMAC-SHA256 of the body in a header"),
    _("The secret in the address, as ?secret="),
    _("An address begins with https:// and the server's name."),
    _("The address to test is on another server, which gets no secret."),
    _("An address is shown to everybody. Put a password into headers."),
    _("The address to test holds {secret} only."),
    _("A header is a name, a colon and a value."),
    _("Headers hold {key}, {digits}, {phone} and {secret} only."),
    _("The template of the body is no JSON. Correct it."),
    # Devino.
    _("Devino Telecom, SMS"),
    _("Written from the public documentation; not tried against the live service."),
    _("API key"),
    _("As it is approved, for messages that name none."),
    _("Address for reports"),
    _("The webhook of this gateway. Empty: no reports come."),
    _("Secret of reports"),
    _("Chosen by you; it is sent along and has to come back with each report."),
    _("Priority"),
    _("Low, for advertising"),
    _("Medium, for advertising"),
    _("High, for service messages"),
    _("At once, for transactions"),
    # What to check where a web service refuses an account.
    _("Check the API key."),
    _("Check the gateway's settings."),
    _("Check user name, password and balance."),
    _("Check key, team and bundle ID."),
    _("Check the project's rights, or make a new key file in Firebase and paste it."),
    _("Check client ID, client secret and the app's rights."),
    _("Check project ID and service token."),
    _("Check hub, connection string and the hub's quota."),
    # SmsTraffic.
    _(
        "Chosen by you. Give SmsTraffic the webhook of this gateway with ?secret= and the secret"
        " behind it. Empty: no reports are taken."
    ),
    _("SmsTraffic, Viber"),
    _("SmsTraffic, social networks"),
    _("Written after the service's public clients; not tried against the live service."),
    _("Login"),
    _("SmsTraffic sends the SMS of a cascade"),
    _(
        "Where an SMS follows the message, SmsTraffic gets both in one request. Off: Envoi waits,"
        " and sends the SMS by the gateway for SMS."
    ),
    _("Network"),
    _("VK"),
    _("Odnoklassniki"),
    _("Check login and password."),
    # Social networks.
    _("Approved template"),
    _("Its name or number at the provider. Empty: the provider finds it by the text."),
    _(
        "As it was approved, with variables where the template has them. Links stay as they are,"
        " and their clicks are not counted."
    ),
    _("Devino Telecom, social networks"),
    # The push channel.
    _("Push"),
    _("Title"),
    _("Phones show about 50 characters."),
    _("Phones show about 150 characters until the message is opened."),
    _("Picture"),
    _("The https address of a picture, best 2:1 and below 1 MB. Empty: none."),
    _("Link"),
    _(
        "What opens on a tap: a page, whose clicks are counted, or a place in the app such as"
        " shop://offers/7. Empty: the app."
    ),
    _("Data for the app"),
    _("A line each, such as offer: 7. The app gets them with the message."),
    _("This is no link. Begin it with https://, or with your app's own scheme."),
    _("Such a link runs code instead of opening a page. Use https:// or your app's scheme."),
    _("Phones load pictures over https:// only. Enter such an address."),
    _(
        "A name of the data cannot be used. Names are letters, digits and _.-, beginning with a"
        " letter."
    ),
    _("A name of the data is used by push services, such as aps or from. Choose another one."),
    _("The customer has no device that takes push messages."),
    # Firebase Cloud Messaging.
    _(
        "Delivery and opens are told by your app, over the API. Written from the public"
        " documentation; not tried against the live service."
    ),
    _("Key file"),
    _(
        "The whole JSON file of a service account: in Firebase open Project settings, Service"
        " accounts, Generate new private key."
    ),
    _("Address of the service"),
    _("This is no key file of a service account. Paste the whole JSON file."),
    # Apple Push Notification service.
    _("Bundle ID"),
    _("Of the app, such as com.example.shop."),
    _("Team ID"),
    _("Key ID"),
    _("Key"),
    _("The content of the .p8 file: in Apple's developer account open Keys."),
    _("Environment"),
    _("Tokens of one are unknown in the other."),
    _("App Store and TestFlight"),
    _("Development"),
    _("Leave it empty; only a test server has one."),
    _("This is no key of Apple's. Paste the whole .p8 file."),
    # Huawei Push Kit.
    _("Client ID"),
    _("Of OAuth 2.0: in AppGallery Connect open Project settings."),
    _("Client secret"),
    _("It stands below the client ID."),
    _("Usual title"),
    _("Huawei shows no message without one; of messages that have none."),
    # RuStore.
    _("Project ID"),
    _("In RuStore Console open the app, Push notifications, Projects."),
    _("Service token"),
    _("It stands beside the project ID."),
    # Azure Notification Hubs.
    _("Name of the hub"),
    _("The hub's own, not that of its namespace."),
    _("Connection string"),
    _("In Azure open the hub, Access Policies: of one with the right Send."),
    _("This is no connection string. It begins with Endpoint=sb:// and has a key."),
    # SMPP.
    _("SMPP 3.4"),
    _("Its name, such as smpp.example.com."),
    _("Often 3550 with TLS."),
    _("User name (system_id)"),
    _("System type"),
    _("Where the operator asks for one."),
    _("Sender name"),
    _("Where a mailing names none. Empty: what the operator sets."),
    _("Sessions"),
    _("Window"),
    _(
        "Messages that may wait for an answer at once, in each session. At most two to three"
        " times what is permitted per second."
    ),
    _("Long texts"),
    _("Default alphabet"),
    _("In Latin 1 there is no €: it becomes a question mark."),
    _("TON of the sender"),
    _("Empty: 5 for a name, 3 for a short number, 1 for others."),
    _("NPI of the sender"),
    _("Empty: 0 for a name or a short number, 1 for others."),
    _("TON of the recipient"),
    _("NPI of the recipient"),
    _("Service type"),
    _("Ask for delivery receipts"),
    _("Clock of the receipts"),
    _("Hours ahead of UTC. Empty: a message is delivered when its receipt arrives."),
    _("Number messages (user_message_reference)"),
    _("Where the operator asks for it."),
    _("In seconds. A shorter wait leaves more messages of unknown fate."),
    _("Time between signs of life (enquire_link)"),
    _("In seconds. Who does not answer within as long again is connected to anew."),
    _("Transmitter and receiver"),
    _("Transceiver"),
    _("In parts with a header (UDH)"),
    _("In parts with numbers beside (SAR)"),
    _("Whole (message_payload)"),
    _("GSM 03.38"),
    _("Latin 1"),
    _("The SMPP server broke off before it let us in. Try again later."),
    _("The SMPP server is silent. Try again later."),
)
