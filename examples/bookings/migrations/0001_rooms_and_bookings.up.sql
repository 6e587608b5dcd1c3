CREATE TABLE bookings_rooms (
    id         uuid        NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    seats      integer     NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE bookings_bookings (
    id         uuid        NOT NULL PRIMARY KEY,
    room_id    uuid        NOT NULL REFERENCES bookings_rooms (id),
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    title      text        NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    -- The order in which a room's bookings are read: they never overlap, so no two end together.
    UNIQUE (room_id, ends_at)
);
