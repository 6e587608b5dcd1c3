CREATE TABLE "library_authors" (
    "id" uuid NOT NULL,
    "name" text NOT NULL,
    "born" date,
    PRIMARY KEY ("id"),
    CONSTRAINT "library_authors_name_key" UNIQUE ("name")
);
CREATE TABLE "library_books" (
    "id" uuid NOT NULL,
    "author_id" uuid,
    "title" text NOT NULL,
    "summary" text,
    "pages" integer NOT NULL,
    "price" decimal NOT NULL,
    "weight" double precision,
    "status" text NOT NULL,
    "is_lent" boolean DEFAULT false NOT NULL,
    "scan" bytea,
    "details" jsonb NOT NULL,
    "published_on" date,
    "version" bigint NOT NULL,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "deleted_at" timestamptz,
    PRIMARY KEY ("id"),
    CONSTRAINT "library_books_author_id_title_key" UNIQUE ("author_id", "title"),
    CONSTRAINT "library_books_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "library_authors" ("id") ON DELETE SET NULL,
    CONSTRAINT "library_books_price_check" CHECK (price >= 0),
    CONSTRAINT "library_books_status_one_of" CHECK ("status" IN ('draft', 'in_print', 'gone'))
);
CREATE INDEX "library_books_status_pages_idx" ON "library_books" ("status", "pages");
CREATE TABLE "library_covers" (
    "book_id" uuid NOT NULL,
    "colour" text NOT NULL,
    PRIMARY KEY ("book_id"),
    CONSTRAINT "library_covers_book_id_fkey" FOREIGN KEY ("book_id") REFERENCES "library_books" ("id") ON DELETE CASCADE
);
CREATE TABLE "library_tags" (
    "name" text NOT NULL,
    "uses" bigint NOT NULL,
    PRIMARY KEY ("name")
);
CREATE TABLE "library_book_tags" (
    "book_id" uuid NOT NULL,
    "tag" text NOT NULL,
    PRIMARY KEY ("book_id", "tag"),
    CONSTRAINT "library_book_tags_book_id_fkey" FOREIGN KEY ("book_id") REFERENCES "library_books" ("id") ON DELETE CASCADE,
    CONSTRAINT "library_book_tags_tag_fkey" FOREIGN KEY ("tag") REFERENCES "library_tags" ("name") ON DELETE CASCADE
);
CREATE TABLE "library_loans" (
    "id" uuid NOT NULL,
    "book_id" uuid NOT NULL,
    "reader" text NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "library_loans_book_id_fkey" FOREIGN KEY ("book_id") REFERENCES "library_books" ("id")
);
CREATE INDEX "library_loans_book_id_idx" ON "library_loans" ("book_id");
