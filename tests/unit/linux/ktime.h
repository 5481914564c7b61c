/* SPDX-License-Identifier: GPL-2.0-only */
/* For test-linger.c, which has its own clock. */
