/* SPDX-License-Identifier: MIT */
/* Prints completion scripts that are made from the command table. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cmd/cmd.h"

/* Second words that are rigs' names are asked from rigway itself. */
static const char rigs_of[] = "rigway ls --names 2>/dev/null";

static void print_words(const struct command *c)
{
	for (size_t i = 0; c->verbs != NULL && c->verbs[i] != NULL; i++)
		printf("%s ", c->verbs[i]);
	for (const struct command_option *o = c->options; o->name != NULL; o++)
		printf("--%s ", o->name);
	printf("--help");
}

/* Prints s inside single quotes; how a quote itself is written differs. */
static void put_quoted(const char *before, const char *s, const char *quote)
{
	printf("'%s", before);
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			fputs(quote, stdout);
		else
			putchar(*s);
	}
	putchar('\'');
}

#define QUOTE_SH   "'\\''"
#define QUOTE_FISH "\\'"

/* Whether a command's words may name a rig. */
static int takes_rig(const struct command *c)
{
	return strstr(c->args, "RIG") != NULL;
}

static void bash(void)
{
	fputs("# bash completion for rigway: "
	      "eval \"$(rigway completion bash)\"\n"
	      "_rigway() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
	      "\t\twords=\"",
	      stdout);
	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->help != NULL)
			printf("%s ", c->name);
	fputs("--help --version\"\n"
	      "\telse case ${COMP_WORDS[1]} in\n",
	      stdout);
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (c->help == NULL)
			continue;
		printf("\t\t%s) words=\"", c->name);
		print_words(c);
		if (takes_rig(c))
			printf(" $(%s)", rigs_of);
		puts("\" ;;");
	}
	fputs("\tesac; fi\n"
	      "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "}\n"
	      "complete -F _rigway rigway\n",
	      stdout);
}

static void zsh(void)
{
	fputs("#compdef rigway\n"
	      "# zsh completion for rigway: "
	      "rigway completion zsh > ~/.zfunc/_rigway\n"
	      "_rigway() {\n"
	      "\tlocal -a words\n"
	      "\tif (( CURRENT == 2 )); then\n"
	      "\t\twords=(\n",
	      stdout);
	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->help != NULL) {
			char name[40];

			snprintf(name, sizeof(name), "%s:", c->name);
			fputs("\t\t\t", stdout);
			put_quoted(name, c->help, QUOTE_SH);
			putchar('\n');
		}
	fputs("\t\t)\n"
	      "\t\t_describe command words\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tcase ${(Q)${(z)BUFFER}[2]} in\n",
	      stdout);
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (c->help == NULL)
			continue;
		printf("\t%s) words=(", c->name);
		print_words(c);
		if (takes_rig(c))
			printf(" $(%s)", rigs_of);
		puts(") ;;");
	}
	fputs("\tesac\n"
	      "\tcompadd -- $words\n"
	      "}\n"
	      "compdef _rigway rigway\n",
	      stdout);
}

static void fish_option(const struct command *c, const struct command_option *o)
{
	printf("complete -c rigway -n '__fish_seen_subcommand_from %s' "
	       "-l %s%s -d ",
	       c->name, o->name, o->value != NULL ? " -r" : "");
	put_quoted("", o->help, QUOTE_FISH);
	putchar('\n');
}

static void fish(void)
{
	fputs("# fish completion for rigway: rigway completion fish | source\n"
	      "complete -c rigway -f\n",
	      stdout);
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (c->help == NULL)
			continue;
		printf("complete -c rigway -n __fish_use_subcommand -a %s -d ",
		       c->name);
		put_quoted("", c->help, QUOTE_FISH);
		putchar('\n');
		for (size_t i = 0; c->verbs != NULL && c->verbs[i]; i++)
			printf("complete -c rigway -n "
			       "'__fish_seen_subcommand_from %s' -a %s\n",
			       c->name, c->verbs[i]);
		for (const struct command_option *o = c->options; o->name; o++)
			fish_option(c, o);
		if (takes_rig(c))
			printf("complete -c rigway -n "
			       "'__fish_seen_subcommand_from %s' -a '(%s)'\n",
			       c->name, rigs_of);
	}
}

int cmd_completion(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(shells); i++)
		if (strcmp(argv[1], shells[i].name) == 0) {
			shells[i].print();
			return EXIT_DONE;
		}
	if (argc == 2)
		fprintf(stderr,
			"rigway: no completion for '%s'; there is one "
			"for bash, zsh and fish\n",
			argv[1]);
	return command_misuse(argv[0]);
}
