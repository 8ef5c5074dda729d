/* SPDX-License-Identifier: MIT */
/* The end of a connection that did not end well. */
#pragma once

/* Closes fd so that the other end sees a reset and never an end of file. Where
 * there are no resets (unix sockets) it only closes. */
void reset_close(int fd);
/* The same for an fd that somebody else closes, soon. */
void reset_at_close(int fd);
