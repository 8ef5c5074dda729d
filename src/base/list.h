/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list. The same struct is the head and the link in
 * each item; an item that is in no list points at itself (list_init). The list
 * owns nothing. container_of() leads from the link to the item.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

/* Makes l an empty head or an item that is in no list. */
static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Whether item is in a list now; item was list_init()ed once. */
static inline bool list_is_linked(const struct list *item)
{
	return item->next != item;
}

/* Puts item, which is in no list, before pos. */
static inline void list_insert_before(struct list *pos, struct list *item)
{
	item->next = pos;
	item->prev = pos->prev;
	pos->prev->next = item;
	pos->prev = item;
}

/* Adds at the end. */
static inline void list_push(struct list *head, struct list *item)
{
	list_insert_before(head, item);
}

static inline void list_push_front(struct list *head, struct list *item)
{
	list_insert_before(head->next, item);
}

/* Takes item out; harmless when it is in no list. */
static inline void list_del(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* NULL when empty. */
static inline struct list *list_first(const struct list *head)
{
	return head->next != head ? head->next : NULL;
}

/* Takes the first item out; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *item = list_first(head);

	if (item != NULL)
		list_del(item);
	return item;
}

/* Moves all items of from to the end of head; from is empty afterwards. */
static inline void list_move_all(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

/* it is declared here as struct list *; the body must not take items out. */
#define list_for_each(it, head)                                                \
	for (struct list *it = (head)->next; it != (head); it = it->next)

/* The body may take the item itself out (and free it), and no other one. */
#define list_for_each_safe(it, head)                                           \
	for (struct list *it = (head)->next, *it##_next = it->next;            \
	     it != (head); it = it##_next, it##_next = it->next)
