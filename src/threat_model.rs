//! Who may do what, what keeps the others from it, and what is not defended. Words alone.
//!
//! In brackets stands the test that shows it; a test holds that each of them is there.
//!
//! # What is worth something
//!
//! The operators' conversations and the agents at work in them; the accounts, whose credentials the
//! daemon never reads (`sensors::agents::a_credential_file_is_dated_but_not_read`); tasks; the secrets of
//! notifications; what stands on screens; and the daemon's own decisions: it ends and starts other
//! people's processes.
//!
//! # Who is who
//!
//! | who | trusted with | reaches the daemon by |
//! |---|---|---|
//! | the operator, and root | everything | configuration, control socket, signals, tmux, files |
//! | agents and their tools | as the operator: they are the same user | hooks' reports, transcripts, session files, screens, signal files |
//! | authors of tasks | what their task makes an agent do | files in an inbox |
//! | project files | what an agent makes of them | the agent alone |
//! | other users of the host | nothing; they may read what HTTP shows | loopback, `/tmp`, files they can write |
//! | the network | nothing | an `http.listen` beyond the loopback; answers of notification services |
//! | notification services | what a message says | their answers |
//!
//! # Other users of the host
//!
//! * They cannot steer. The control socket and each report in the spool have mode 0600, in directories with
//!   mode 0700, whatever the umask
//!   (`edges::private::whatever_the_umask_only_our_user_can_open_what_the_daemon_makes`);
//!   one that is open to others is refused at the start
//!   (`switcher::a_private_directory_is_made_or_refused`). Who comes as far as the socket is asked for
//!   his uid by the kernel (`http::control::another_user_who_comes_as_far_as_the_socket_is_not_heard`).
//! * Their files are no orders: signal files count only from our user
//!   (`sensors::signals::only_a_regular_file_of_ours_is_a_signal`), task files from ours and
//!   `dispatcher.trusted_uids`
//!   (`dispatcher::offers::a_task_of_another_user_is_taken_only_when_that_user_is_trusted`),
//!   launch files and spooled reports from ours alone. A state directory, a runtime directory or a tmux
//!   socket's directory of theirs is refused
//!   (`edges::refused::a_socket_directory_that_is_missing_or_not_ours`).
//! * They see no secret: none may stand in the configuration
//!   (`config::notifications::what_cannot_be_told_is_refused_with_the_place_of_each_secret`), and none is on
//!   a command line, in another's environment, in a document, in the log or in the journal
//!   (`daemon::secrets::a_secret_is_on_no_command_line_and_in_no_document_log_or_file`);
//!   a crash leaves no core (`edges::private::a_crash_leaves_no_core`, and `LimitCORE=0` in the unit).
//! * They can read `/status` and the page, which name accounts, sessions and titles of tasks: the loopback
//!   has no owner. `http.listen: null` closes it.
//! * They can be rude to HTTP, and delay nobody (below).
//!
//! # Authors of tasks, and names in general
//!
//! * Only a plain file with one name, of a trusted owner, within `dispatcher.max_bytes`, in a queue that is
//!   no link is a task; pipes and devices are never opened
//!   (`queue::files::only_plain_files_of_ours_within_the_limit_are_tasks`,
//!   `queue::files::a_queue_or_a_part_of_it_that_is_a_link_is_refused`). Its id is letters, digits and
//!   `._-` (`queue::files::a_listing_parts_tasks_from_marks_and_from_names_that_are_none`).
//! * Its bytes pass through no keyboard, shell or process list: an agent is told the file's name in one
//!   fixed line, by an argument.
//! * No name or text is read as tmux's or a shell's language, or as a terminal's: directories, arguments,
//!   variables, messages, typed lines, titles and names that others gave
//!   (`tmux::hostile::a_name_of_a_directory_or_an_argument_is_nothing_but_a_name`,
//!   `tmux::hostile::what_is_said_to_a_person_or_typed_is_only_shown`,
//!   `tmux::hostile::names_and_titles_that_others_give_hide_nothing_in_a_listing`); nor does a log line
//!   become two (`logging::a_message_never_takes_more_than_its_line`).
//! * **Not defended:** an inbox in which others may rename. Who may write in the directory can exchange a
//!   file after its owner was looked at, unless the directory is sticky: `doctor` names those
//!   (`doctor::config::an_inbox_that_is_open_to_others_is_named`).
//! * **Not defended:** what a task makes an agent do. With `--dangerously-skip-permissions` whoever may
//!   put a task into an inbox may run anything as the operator. So trust as few uids as possible.
//!   `agent.guard` refuses well-known destructive commands; it is a rail, not a wall.
//!
//! # Agents and their tools
//!
//! * They get a listed environment, and no login but their account's
//!   (`launch::the_agent_gets_the_listed_environment_and_no_secret`), and neither they nor the tmux server
//!   get the service's (`edges::service::variables_of_the_service_reach_neither_the_tmux_server_nor_a_pane`).
//! * What they print is no order. Screens are read through a buffer that cannot imitate tmux's answers
//!   (`tmux::reading::a_capture_is_exact_and_cannot_be_imitated`), and an answer that looks like a refusal
//!   moves nobody (`daemon::testimony::an_answer_that_reads_like_a_banner_swaps_nobody`). Keys go only to
//!   dialogs that the row on the screen names
//!   (`tmux::dialogs::a_dialog_that_is_not_ours_to_answer_gets_no_key`).
//! * What they leave in a home may be of any size or kind
//!   (`sensors::agents::a_pipe_or_a_directory_in_the_place_of_a_file_holds_nobody_up`).
//! * **Not defended:** an agent that means harm. It is the operator's own user: it can type into any
//!   pane, end the daemon, forge reports and files, read what the operator can read, credentials and the
//!   secrets of notifications among them, and write the configuration. Separate users are the wall
//!   against that, and one daemon a user.
//! * **Not defended:** files of a project that its client takes for settings or hooks. The client's own
//!   trust dialog is the place to say no, and the daemon says yes to it in the directory of a task that it
//!   delivers.
//!
//! # The network
//!
//! * Nothing but HTTP listens, on the loopback, and that reads: no verb goes over it. `Host` is checked, so
//!   that no page in a browser gets an answer under another name
//!   (`api::answer::only_names_of_this_host_are_served_unless_remote_is_allowed`); the page runs
//!   no script but its own.
//! * Long heads, slow, idle and half-asking clients, promised bodies, wrong methods and paths cost others
//!   nothing (`http::what_is_not_served_is_refused`,
//!   `http::a_promised_body_is_neither_waited_for_nor_allocated`,
//!   `http::siege::a_siege_neither_slows_the_answers_nor_grows_the_house`,
//!   `http::shortage::an_answer_takes_no_descriptor_but_its_clients`); the deciding thread never meets
//!   one. `cargo bench --bench health` measures it.
//! * **Not defended:** with `http.allow_remote: true` whoever reaches the port reads `/status`, without TLS.
//!   A proxy that asks who is there belongs in front.
//! * Notifications go out over TLS, without proxies or redirects
//!   (`notify::verb::what_should_be_encrypted_is_never_sent_in_the_clear`). An answer is bounded, made one
//!   harmless line, and means nothing but sent or not; a secret in it is taken out
//!   (`daemon::notices::no_secret_gets_into_the_log_whatever_is_logged`). What a service learns is what the
//!   messages say: sessions, accounts, titles of tasks, rows of evidence.
//!
//! # The operator's own mistakes
//!
//! * What a person does in the same sessions is left alone
//!   (`daemon::neighbours::editors_windows_and_background_servers_of_the_operator_stay`),
//!   and what he renames, restarts or takes away costs no conversation
//!   (`daemon::persons::a_renamed_session_is_made_anew_and_its_conversation_runs_once`).
//! * A command that timed out and runs later does no harm twice
//!   (`tmux::ghosts::while_the_server_hangs_the_outcome_is_unknown_and_a_repeat_runs_at_most_once`).
//! * Another version's journal is refused, untouched
//!   (`edges::newer::a_newer_format_is_refused_by_each_verb_that_reads_it`).
//! * **Not defended:** a configuration, a guard's rules or an agent's program that others may write. They
//!   are run as they stand.
//! * **Not defended:** root, the kernel, the disk's owner, and the client's and tmux's own faults.
