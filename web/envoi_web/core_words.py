"""Sentences of the core and of our plugins that pages show, so that they are collected."""

from flask_babel import lazy_gettext as _

CORE_WORDS = (
    # What keeps a mailing from starting.
    _("Choose a segment: who is to get it?"),
    _("There is no gateway for this channel. Set one up in Settings."),
    _("The chosen start is in the past. Choose a later one, or start now."),
    _("MJML begins with <mjml>."),
    _("Most mail servers take only plain letters, a to z, before the @."),
    _("The template is nested too deep. Simplify it."),
    _("The template holds too many expressions. Simplify it."),
    _("The MJML could not be compiled within its limits. Simplify it."),
    _("Compiling the MJML takes too long. Simplify it."),
    # What a form's own model refuses.
    _("This is not filled in. Enter a value."),
    _("This has to stay empty."),
    _("There is no such setting. Remove it."),
    _("It would be sent elsewhere than before. Enter it again."),
    _("This is not written as it should be. Correct it."),
    _("Choose yes or no."),
    _("Enter a time from 00:00 to 23:59, such as 09:30."),
    _("This is none of the offered values. Choose one of them."),
    # What is not there.
    _("There is no such message. What came in is deleted after some days."),
    _("This message does not wait for a decision, or no longer."),
    _("The message that this bounce is about is no longer known, so it cannot be applied."),
    _("The owner of this address reported a message as spam, so it stays excluded."),
    _("There is no such mailing. It may have been deleted."),
    _("There is no such variant. It may have been deleted."),
    _("There is no such policy. It may have been deleted."),
    _("This channel is not enabled for the company."),
    _("There is no such customer."),
    _("There is no such import."),
    _("There is no such message in the mailbox."),
    _("The uploaded file is gone. Upload it again."),
    _("This installation has no demo."),
    _("The simulators give no answer. They start with `make run`; look at its output."),
    _("The simulators refuse to answer. Start everything again."),
    _("This message is not on the phone any more."),
    _("A phone cannot do this."),
    # Cascades, and Viber.
    _("The cascade has no such step. It may have been removed."),
    _("This channel is in the cascade already. Choose another one."),
    _("A mailing needs a channel, so the only one cannot be removed."),
    _("This channel cannot be added: it is in the cascade, or has no gateway."),
    _("Viber opens addresses over https:// only. Enter such an address."),
    _("A button and its link go together. Fill in both, or neither."),
    _("A button stands below a text. Write one, or take the button out."),
    _("The message is empty. Write a text, or choose a picture."),
    _("A text with a picture needs a button in Viber. Add one, or leave one of the two out."),
    _("This is no web address."),
    _("At most 1,000 characters."),
    _(
        "The https address of a JPG or PNG, best 2:1, 800 pixels wide and below 300 KB. Empty:"
        " none."
    ),
    _("As it is registered with the provider. Empty: the gateway's own."),
    _("Button text"),
    _("At most 30 characters. Empty: no button."),
    _("Link address"),
    _("What the button opens; clicks are counted."),
    _("Promotional"),
    _("Transactional, from an approved template"),
    _("Devino Telecom, Viber"),
    # What cannot be done, or not any more.
    _("This mailing has already been confirmed."),
    _(
        "The mailing was changed after this page was shown. Nothing was sent. Look at it"
        " again, then confirm."
    ),
    _("The recipients are not counted yet. Count them, then ask."),
    _("Nobody waits for an approval of this mailing any more."),
    _(
        "This large mailing is to start at the time that was approved. Undo its start, choose"
        " another one in its third step, then ask for approval again."
    ),
    _("Say why, so that it can be mended."),
    _(
        "By the company's clock the sending window opens only after the messages' lifetime has"
        " ended: customers of that zone and of an unknown one would get nothing. Choose another"
        " start, a longer lifetime or a wider window."
    ),
    _("It is too late to undo: the mailing has started. It can be paused."),
    _("This mailing is confirmed and can no longer be changed. Copy it, or undo the start."),
    _(
        "Somebody else saved this mailing while you were editing. Nothing of yours is lost:"
        " compare with the saved version, then save again."
    ),
    _(
        "Somebody else saved this policy while you were editing. Nothing of yours is lost:"
        " compare with the saved version, then save again."
    ),
    _(
        "Somebody else has changed this segment since you opened it. Open it again to see the"
        " changes, then make yours."
    ),
    _("This mailing has not started, so there is nothing to report yet."),
    _("This mailing has not started, so nobody has an outcome yet."),
    _("The database cannot work out who belongs to it."),
    _("The clocks are put forward past this time on that day. Choose another time."),
    _("The mailing is not being sent, so it cannot be paused."),
    _("The mailing is not paused, so it cannot be resumed."),
    _("The mailing has ended already, so it cannot be cancelled."),
    _("Enter a name of 1 to 100 characters."),
    _("A policy can have at most 20 rules."),
    _("The period can be a year at most. Choose a shorter one."),
    _("A cap of 0 never allows a message again, so it cannot defer one."),
    _("There is already a policy with this name. Enter another one."),
    _("This kind of rule is not enabled for the company."),
    _("Your role does not include this. An administrator can change your role."),
    _("Your role includes this only for what you made yourself. Ask a senior marketer."),
    _("There is no such company. Choose one from the list."),
    _("You do not belong to a company any more. Ask an administrator to invite you."),
    # Employees, their views and companies.
    _("You do not work for this company any more."),
    _("You have 20 saved views, which is the most. Delete one first."),
    _("Enter a name of at most 60 characters."),
    _("Use at least 10 characters for the password."),
    _("The text is too long for a field of this form."),
    # Customers, their fields and imports.
    _("The file is empty or does not begin with a line of column names."),
    _("It contains a NUL byte. Remove it."),
    _("Enter a date, such as 1990-12-31."),
    _("Shorten the text to at most 1,000 characters."),
    _("Enter a number, such as 12.5."),
    _("Choose yes, no or nothing."),
    _("Choose one of the values."),
    _("This is no email address. Enter one such as anna@example.com, or nothing."),
    _("There is no sender name. Customers see what the gateway has set."),
    _("This is no phone number. Enter it with its country code, or nothing."),
    _("Somebody else has changed this customer since you opened the form."),
    _("Shorten this to at most 200 characters."),
    _("Choose a time zone from the list."),
    _("There is no such field. It may have been deleted already."),
    _("The import has ended already."),
    _("This is an Excel file of before 2007. Save it as XLSX or as CSV."),
    _("The archive holds another archive. Pack the file once."),
    _("The archive is damaged or locked by a password. Pack it again."),
    _(
        "The archive unpacks to far more than a list of this kind takes. Upload the file"
        " itself, in parts where it is large."
    ),
    _("Choose the column of the file that holds it."),
    _("Two columns of the file cannot be the same. Choose one."),
    _("This cannot be imported. Choose another."),
    _("There is no such mapping. It may have been deleted already."),
    _("Give the mapping a name of at most 100 characters."),
    _("The workbook is too large when unpacked. Save the sheet as CSV UTF-8."),
    _("The workbook cannot be read. Save it again as XLSX, or as CSV UTF-8."),
    _("Use a-z, 0-9 and _, beginning with a letter."),
    _("There are 200 fields already. Delete one first."),
    _("The type is fixed, because customers have values. Make a new field."),
    _("Shorten the group to at most 100 characters."),
    _("Enter at least one choice, each on a line."),
    _("Enter at most 200 choices of at most 100 characters."),
    _("There is a field with this code. Enter another."),
    _("Customers have a choice that is missing here. Keep it in the list."),
    # Target audiences.
    _("The line has no customer number. Enter one."),
    _("There is a target audience of this name already. Enter another name."),
    _("The file is not UTF-8. Save it as CSV UTF-8 and try again."),
    _("Choose a segment."),
    # Exports.
    _("The file is not here any more: files are kept for 7 days. Export it again."),
    _("The export stopped at an error of the program. Tell an administrator its number."),
    _("There is no such export."),
    # Templates, images and attachments.
    _("The file is larger than 10 MB. Put it on your site and link to it."),
    _("The file is empty. Choose another one."),
    _(
        "Files of this type cannot be attached. PDF, office documents, pictures, text, CSV and"
        " calendar entries can."
    ),
    _("The file is not what its name says. Save it anew in the right format."),
    _("This is no PNG, JPEG, GIF or WebP, whatever its name says."),
    _("The picture has more than 24 megapixels. Make it smaller."),
    _("The picture is larger than 5 MB. Make it smaller."),
    _("SVG can carry scripts, and mail programs do not show it. Save the picture as PNG."),
    _("The picture stays above 5 MB. Save it as JPEG or make it smaller."),
    _("The picture is damaged or cut off. Save it anew and upload it."),
    _("The picture is damaged. Save it anew and upload it."),
    _("The animation is too long. Make it shorter or smaller."),
    _("The attachments are larger than 10 MB together. Remove one."),
    _("There is no such file. It may have been deleted."),
    _("The template is of another channel. Choose one of this mailing's."),
    _("There is no such template. It may have been deleted."),
    _("The template needs a name."),
    _("The name is longer than 200 characters."),
    # Messages: blocks, MJML and what a channel takes.
    _("This is empty. Fill it in, or delete the block."),
    _("A link begins with https://, mailto: or tel:, or is a variable."),
    _("The address of a picture begins with https://."),
    _("There is no picture. Choose one from the library."),
    _("Say in words what the picture shows, or mark it as decorative."),
    _("The message holds more than 1000 links. Remove some."),
    _("A < stands alone. Close the tag or write &lt;."),
    _("The MJML is nested more than 64 deep."),
    _("A filter takes plain arguments only."),
    _("A list holds plain texts and numbers only."),
    _("A loop has the form {% for item in list %}."),
    _("An assignment has the form {% set name = value %}."),
    _("Nothing can be called in a template; use filters, such as {{ name | upper }}."),
    _('A macro is called with one text at most, such as {{ name("text") }}.'),
    _("Bounces come back by the return path"),
    _("Reports delivery"),
    _("Reports that a message was read"),
    _("Reports come over a connection of its own"),
    _("Reports come to a webhook"),
    _("Passes on what customers answer"),
    _("The same message sent twice arrives once"),
    _("Takes several messages at once"),
    _("Chains channels by itself"),
    _("Pictures"),
    _("Buttons"),
    _("There is no such plugin."),
    _("The template holds too many expressions. Split it or simplify it."),
    _("The message is longer than 2000000 characters."),
    _(
        "The message has no unsubscribe link. Mail programs show a button of their own, but"
        " many people look for the link. Add a footer."
    ),
    _('A picture has no alternative text. Say what it shows, or write alt="" for decoration.'),
    _("A link leads nowhere: it is empty, or no address. Enter where it leads."),
    _(
        "The message is larger than 102 KB. Gmail hides what is beyond that, the unsubscribe"
        " link with it. Make it shorter."
    ),
    _("No customer has some of the variables, so they stay empty."),
    _("There is no preheader. Mail programs show the first words instead."),
    _(
        "This is larger than 0.5 MB, far above what mail programs show. Remove pictures inside"
        " the text and what was pasted with it."
    ),
    _("This is empty. Fill it in."),
    _("The message is empty. Write it."),
    _("The message is empty. Add a block."),
    _("Two blocks have the same number. Duplicate blocks by their button."),
    _("A user name holds no NUL."),
    _("A password is sent over TLS only. Choose STARTTLS or TLS."),
    _("The SMTP server broke off before it took the message. Try again later."),
    # Mailings: steps, control group, variants, calendar.
    _("Choose at most 5 characteristics."),
    _("This mailing has started or ended, so its start cannot be moved. Copy it instead."),
    _("This draft has no start yet. Choose one in its third step."),
    _("This moment has passed. Choose a later one."),
    _("A sending window has a beginning and an end. Enter both or none."),
    _("The sending window is empty. Choose an end other than its beginning."),
    _("The dates of attribution are two. Enter both or none."),
    _("The attribution ends before it begins. Exchange the dates."),
    _("The attribution is longer than a year. Choose nearer dates."),
    _("A test goes to at most 50 addresses. Choose fewer."),
    _("There is no such test. Send a new one."),
    _("Nobody is chosen. Enter an address."),
    _("The sender has no address with a domain. Enter one, or set it up in General settings."),
    _("The control group has more strata than can be kept. Use fewer characteristics."),
    _("Nobody would get it now. The mailing would end at once, with zeros."),
    _(
        "The sending window opens only after the messages' lifetime has ended, so that none"
        " would leave. Choose another start, a longer lifetime or a wider window."
    ),
    _(
        "The limit per minute is so low that some messages expire before their turn. Raise the"
        " limit, or choose a longer lifetime."
    ),
    _("A mailing has at most 5 variants. Delete one first."),
    _("There is no such block. It may have been deleted."),
    _("There is no such column. It may have been deleted."),
    _(
        "The message is larger than 2 MB, too large to be kept: mail programs cut messages"
        " above 0.1 MB. Upload pictures to the library instead of pasting them."
    ),
    _("The last variant cannot be deleted."),
    _("Every variant needs a share."),
    _("Every variant gets at least 0.1 %."),
    _("There is no such month in the calendar."),
    _("There is no such week in the calendar."),
    _("There is no such line in the volume."),
    _("No mailing is chosen. Choose one in the list, then try again."),
    _("There is no such product. It may have been deleted."),
    _("There is no such picture. It may have been deleted."),
    _("There is no file. Choose one."),
    _("This block was deleted meanwhile. Load the page again to go on."),
    _("The channels of the mailing were changed meanwhile. Load the page again to go on."),
    _("A step waits from 1 to 1,440 whole minutes. Enter such a number."),
    # Segments.
    _("A segment can use at most 50 other segments."),
    _("Enter at most 1000 characters."),
    _("Enter values with commas between them."),
    _("Enter at most 10000 values."),
    _('A condition has only "source" and "settings".'),
    _("A segment has at most 200 conditions and groups."),
    _("Here must be a condition or a group, as a JSON object."),
    _('A group has one key: "all", "any" or "not".'),
    _('A segment begins with a group: {"all": [...]}, "any" or "not".'),
    _("Choose a target audience."),
    # Policies.
    _("The quiet hours begin and end at the same time. Change one of them."),
    # Settings of the company.
    _("Use 1 to 40 of a-z, 0-9, _ and -, beginning with a letter or digit."),
    _("The description can have at most 500 characters."),
    _("There is no such mailing category. It may have been deleted."),
    _("There is already a category with this code. Enter another one."),
    _("Enter a colour as # and six digits, for example #0a5fbf."),
    _("White text on this colour cannot be read well. Choose a darker one."),
    _("The logo is not in the library any more. Upload it again."),
    _("Line breaks and control characters cannot be used here."),
    _("Enter the whole address, for example https://example.com."),
    _("There is no such time zone. Choose one from the list."),
    _("Enter the three letters of a currency, for example EUR."),
    _("Enter the two letters of a country, for example DE."),
    _("Choose a language from the list."),
    _("This is no email address. Enter one like shop@example.com, or leave it empty."),
    _("Enter both ends of the sending interval, or neither."),
    _("The sending interval begins and ends at the same time."),
    _("There is no such group. Choose another one."),
    _("Only the five UTM parameters can be set here."),
    _("There is no such group of watchers. It may have been deleted."),
    _("There is already a group with this name. Enter another one."),
    _("A group can have at most 200 addresses of a kind."),
    # Help.
    _("There is no such page of the help. Choose one from its contents."),
    _("There is no such picture."),
    # The warm-up of a gateway, and what is wrong with limits.
    _("SMTP server"),
    _("Warm-up"),
    _("First day"),
    _("By the company's calendar. Before it nothing leaves through this gateway."),
    _("Messages on the first day"),
    _("To all domains together."),
    _("Growth"),
    _("Each day so many times the messages of the day before."),
    _("Days"),
    _("After them nothing is limited any more."),
    _("Count only days on which messages left"),
    _("An idle day is then no step of the ramp."),
    _("First day of some domains"),
    _(
        "One domain a line with its messages on the first day, such as gmail.com 50. They grow"
        " alike."
    ),
    _("A domain's first day has 1 to 1,000,000 messages."),
    _("Write a domain such as gmail.com."),
    # Gateways and the settings of an SMTP server.
    _("Server"),
    _("Its name, such as smtp.example.com."),
    _("Port"),
    _("587 with STARTTLS, 465 with TLS."),
    _("Security"),
    _("Check the server's certificate"),
    _("Without it anybody on the way can read the password."),
    _("User name"),
    _("Password"),
    _("Introduce as"),
    _("The name given with EHLO. Empty: the name of this machine."),
    _("Messages per connection"),
    _("After so many a new one is opened."),
    _("DKIM domain"),
    _("The domain that signs, best that of the sender address. Empty: nothing is signed here."),
    _("DKIM selector"),
    _("Names the key, such as envoi2026."),
    _("DKIM private key"),
    _("In PEM form, RSA of 2048 bits or Ed25519."),
    _("Time to connect"),
    _("In seconds."),
    _("Time to answer a command"),
    _("Time to take a message's data"),
    _("Time to confirm a message"),
    _("In seconds. It may rightly take 10 minutes; a shorter wait makes duplicates."),
    _("Not protected"),
    _("Mailbox providers check the DKIM signature with it."),
    _("DKIM needs a domain, a selector and a private key. Fill in all."),
    _(
        "This is no private key without a password in PEM form. It begins with"
        " -----BEGIN PRIVATE KEY-----."
    ),
    _("DKIM knows RSA and Ed25519 keys. Make one of them."),
    _("The key is shorter than 1024 bits, which nobody accepts. Use 2048 bits."),
    _("There is a gateway of this name already. Choose another name."),
    _("Somebody else saved this gateway while you were editing. Look at it again, then save."),
    _(
        "Mailings that are being sent use this gateway. Wait until they have ended, or"
        " switch it off: the gateways that stand in take over."
    ),
    _("Write a number from 1 to 1,000, or nothing for no limit."),
    _("No enabled plugin brings this provider. Enable one in Plugins."),
    _(
        "Nothing of this mailing can be sent any more: it was cancelled, or the lifetime of"
        " its messages is over. What is unconfirmed stays so."
    ),
    _("This mailing has not missed its start, so nothing was changed."),
    _("There is a key of this name already. Choose another name, or revoke that one."),
)
